"""The connector for HBase: one connection's way to a cluster, and its facets."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from workbench.contract.connector import ConnectionConfig, ServerInfo
from workbench.contract.errors import (
    ConnectionLost,
    InvalidParameter,
    ProtocolError,
    SourceError,
    SourceTimeout,
    Unreachable,
    Unsupported,
)
from workbench.contract.scan import Control, Reader, Split
from workbench.kit.tls import Encryption
from workbench_hbase.faults import Faults
from workbench_hbase.gateway import Gateway
from workbench_hbase.native import Address, Native
from workbench_hbase.route import Route
from workbench_hbase.rpc import Remote
from workbench_hbase.sinks import HBaseSinks
from workbench_hbase.tables import HBaseTables

__all__ = ["HBaseConnector"]


class HBaseConnector:
    """See `workbench.contract.connector.Connector`."""

    def __init__(self, config: ConnectionConfig) -> None:
        given = config.parameters
        self.config = config
        self.namespace = str(given.get("database") or "")
        self.guard = float(given.get("guard", 3600))
        self.patience = float(given.get("patience", 60))
        self.faults = Faults(config.name, f"{given['host']}:{given.get('port', 16000)}", str(given.get("user") or ""))
        self._lock = threading.Lock()
        self._route: Route | None = None
        self._tables = HBaseTables(self)
        self._sinks = HBaseSinks(self)

    @property
    def tables(self) -> HBaseTables:
        return self._tables

    @property
    def feeds(self) -> None:
        return None

    @property
    def sinks(self) -> HBaseSinks:
        return self._sinks

    def test(self) -> ServerInfo:
        with self.faults.named():
            route = self._opened()  # a new one: the question is whether one can get in
            try:
                cluster, version = route.cluster(), route.version()
            finally:
                route.close()
        details = {"route": route.name, "cluster": cluster, "namespace": self.namespace or "all"}
        return ServerInfo("HBase", version or "(its version is not said)", details)

    def cancel(self, native_id: str) -> None:
        raise Unsupported(
            "The HBase connector", "end work from another process",
            "A server knows no mark of a query; its scanners end with the process, or after their lease.",
        )  # fmt: skip

    def close(self) -> None:
        with self._lock:
            route = self._route
        if route is not None:
            route.close()

    # -- for the facets --------------------------------------------------------------------------------------------

    @property
    def route(self) -> Route:
        """The way to the cluster. Where it is for us to choose, a server is asked."""
        with self._lock:
            if self._route is None:
                self._route = self._opened()
            return self._route

    def reader(self, split: Split, control: Control) -> Reader:
        from workbench_hbase.gateway_reader import GatewayReader
        from workbench_hbase.native_reader import NativeReader

        route = self.route
        if isinstance(route, Native):
            return NativeReader(self, split, control, route)
        assert isinstance(route, Gateway)
        return GatewayReader(self, split, control, route)

    def _opened(self) -> Route:
        """The route that the connection names, or the native one where a server answers, else the gateway."""
        wanted = self.config.parameters.get("route", "auto")
        if wanted == "gateway":
            return self._by_gateway()
        native = self._by_native()
        if wanted == "native":
            return native
        try:
            native.reachable()
        except (Unreachable, ConnectionLost, ProtocolError, SourceTimeout, Remote) as error:
            native.close()
            gateway = self._by_gateway()
            try:
                gateway.cluster()
            except SourceError:
                gateway.close()
                raise error from None
            return gateway
        return native

    def _by_native(self) -> Native:
        given = self.config.parameters
        return Native(
            (str(given["host"]), int(given.get("port", 16000))),
            str(given.get("user") or ""),
            float(given.get("connect_timeout", 10)),
            Encryption.asked(given),
            _addresses(str(given.get("redirect") or "")),
        )

    def _by_gateway(self) -> Gateway:
        given = self.config.parameters
        return Gateway(
            (str(given.get("gateway_host") or given["host"]), int(given.get("gateway_port", 9090))),
            bool(given.get("framed", False)),
            float(given.get("connect_timeout", 10)),
            Encryption.asked(given),
        )


def _addresses(said: str) -> Mapping[Address, Address]:
    found: dict[Address, Address] = {}
    for pair in filter(None, (part.strip() for part in said.split(","))):
        there, _, here = pair.partition("=")
        found[_address(there, pair)] = _address(here, pair)
    return found


def _address(said: str, pair: str) -> Address:
    host, _, port = said.strip().rpartition(":")
    if not host or not port.isdigit():
        raise InvalidParameter("redirect", f"has `{pair}`: write host:port=host:port")
    return host, int(port)
