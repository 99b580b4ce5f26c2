"""The connector for Redis: one connection's client, and its facets."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from workbench.contract.connector import ConnectionConfig, ServerInfo
from workbench.contract.errors import ConnectionLost, ProtocolError, Unsupported, UrlRefused
from workbench.kit.drivers import needed
from workbench.kit.hosts import metadata
from workbench.kit.tls import Encryption
from workbench_redis.faults import Faults
from workbench_redis.feeds import RedisFeeds
from workbench_redis.sinks import RedisSinks
from workbench_redis.streams import WHO, RedisTables

if TYPE_CHECKING:
    import redis

__all__ = ["RedisConnector"]


class RedisConnector:
    """See `workbench.contract.connector.Connector`."""

    def __init__(self, config: ConnectionConfig) -> None:
        needed("redis", WHO, "redis")
        given, password = config.parameters, config.secrets.get("password")
        self.config = config
        self.seconds = float(given.get("connect_timeout", 10))
        where = f"{given['host']}:{given.get('port', 6379)}"
        variable = password.variable if password is not None else ""
        self.faults = Faults(config.name, where, str(given.get("user", "")), variable)
        self._lock = threading.Lock()
        self._client: redis.Redis | None = None
        self._process, self._closed = 0, False
        self._tables, self._feeds, self._sinks = RedisTables(self), RedisFeeds(self), RedisSinks(self)

    @property
    def tables(self) -> RedisTables:
        return self._tables

    @property
    def feeds(self) -> RedisFeeds:
        return self._feeds

    @property
    def sinks(self) -> RedisSinks:
        return self._sinks

    def test(self) -> ServerInfo:
        with self.faults.named():
            client = self.opened()  # a new one: the question is whether one can get in
            try:
                found: Any = client.info("server")
            finally:
                client.close()
        if "redis_version" not in found:
            raise ProtocolError(f"{self.faults.where} answers, but does not say that it is Redis.", self.config.name)
        details = {
            "database": str(self.config.parameters.get("database", "0")),
            "tls": str(self.config.parameters.get("tls", "disabled")),
        }
        return ServerInfo("Redis", str(found["redis_version"]), details)

    def cancel(self, native_id: str) -> None:
        raise Unsupported(WHO, "end work from outside", "Its commands are short.")

    def close(self) -> None:
        with self._lock:
            client, self._client, self._closed = self._client, None, True
        if client is not None:
            client.close()

    def client(self) -> redis.Redis:
        """This process's client. It connects when it is used."""
        with self._lock:
            if self._closed:
                raise ConnectionLost("The connection was closed; open it again.", self.config.name)
            if self._client is None or self._process != os.getpid():
                self._client, self._process = self.opened(), os.getpid()
            return self._client

    def opened(self) -> redis.Redis:
        """A client of its own."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        given, password = self.config.parameters, self.config.secrets.get("password")
        if metadata(str(given["host"])):
            raise UrlRefused("the host", "it is a link-local or metadata address, which is never connected to.")
        asked = Encryption.asked(given)
        tls: dict[str, Any] = {}
        if asked.kind != "disabled":
            verify = asked.kind == "verify"
            tls = {
                "ssl": True,
                "ssl_cert_reqs": "required" if verify else "none",
                "ssl_check_hostname": verify,
                "ssl_ca_certs": asked.ca_file,
            }
        return redis.Redis(
            host=str(given["host"]),
            port=int(given.get("port", 6379)),
            db=int(given.get("database") or 0),
            username=str(given.get("user") or "") or None,
            password=password.reveal() if password is not None else None,
            socket_connect_timeout=self.seconds,
            socket_timeout=self.seconds,
            retry=Retry(NoBackoff(), 0),
            client_name="analytics-workbench",
            protocol=2,
            max_connections=64,
            **tls,
        )
