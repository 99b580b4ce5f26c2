"""A real HBase on loopback, as processes of ours: `HBase()` is up when it is made, with its Thrift gateway.

One process is all of the cluster, or (`servers=2`) ZooKeeper, the master and each region server are processes of their
own, for tests that kill one.
"""

from __future__ import annotations

import pprint
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives import serialization

from tests.services import certificate
from tests.services.hbase import fetch
from tests.services.hbase.client import Gateway
from tests.services.hbase.demo import TABLES
from tests.services.process import Process, free_port, install, private_folder
from workbench.contract import ConnectionConfig, Manifest
from workbench_hbase.manifest import MANIFEST

_OPENED = ("java.nio", "sun.nio.ch", "java.lang", "jdk.internal.ref", "java.lang.reflect", "java.util",
           "java.util.concurrent", "jdk.internal.util.random")  # fmt: skip
_JAVA = (
    "--add-modules", "jdk.unsupported",
    *(word for package in _OPENED for word in ("--add-opens", f"java.base/{package}=ALL-UNNAMED")),
    "--add-exports", "java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-exports", "java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true",
)  # fmt: skip
_LOG = (
    "log4j.rootLogger=INFO,c\nlog4j.appender.c=org.apache.log4j.ConsoleAppender\n"
    "log4j.appender.c.layout=org.apache.log4j.PatternLayout\n"
    "log4j.appender.c.layout.ConversionPattern=%d %p %c{2}: %m%n\nlog4j.logger.org.apache.zookeeper=WARN\n"
)
_PACKAGE = "org.apache.hadoop.hbase"


class HBase:
    """A running cluster. `port` is a region server's, which answers as every server does; `gateway` the gateway's."""

    host = "127.0.0.1"
    demo: Mapping[str, Any] = {"tables": tuple(TABLES), "unit": "milliseconds", "mode": "upsert"}

    def __init__(
        self, *, servers: int = 0, framed: bool = False, tls: bool = False,
        settings: Mapping[str, object] | None = None, heap: str = "1g", fast: bool = False,
    ) -> None:  # fmt: skip
        self.framed = framed
        self.folder, self._heap, self._fast = private_folder("hbase"), heap, fast
        self.certificate, key = certificate.make(self.folder)
        self.keeper, self.master, self.gateway = free_port(), free_port(), free_port()
        self.ports = [free_port() for _ in range(max(servers, 1))]
        self._jars = fetch.jars()
        secured = self._secured(key) if tls else {}
        self._settings = {**self._usual(distributed=servers > 0), **secured, **(settings or {})}
        self.processes: dict[str, Process] = {}
        (self.folder / "conf").mkdir()
        (self.folder / "data").mkdir()
        try:
            self._write()
            self._start(servers)
        except BaseException:
            self.close()
            raise

    @classmethod
    def served(cls) -> Self:
        """For somebody who tries things."""
        return cls(fast=True)

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def pid(self) -> int:
        return self.processes["master"].pid

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        parameters = {"host": self.host, "port": self.port, "gateway_port": self.gateway, "framed": self.framed}
        return ConnectionConfig("hb", parameters, writable=writable, tables=TABLES)

    def told(self) -> str:
        tables = pprint.pformat(TABLES, width=110, sort_dicts=False)
        return f'tables = {tables}\nwb.connect("hb", "{self.url()}", tables=tables, writable=True)'

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes.values()]

    def url(self) -> str:
        return f"hbase://{self.host}:{self.port}?gateway_port={self.gateway}"

    def client(self) -> Gateway:
        """A plain client of the gateway: how tests load."""
        return Gateway(self.host, self.gateway, self.framed)

    def region_server(self, port: int) -> Process:
        """The process that listens there, where each is one."""
        return self.processes[f"server{self.ports.index(port)}"]

    def restart(self) -> None:
        """The whole cluster again, on the same data, after it was killed."""
        for process in self.processes.values():
            process.kill()
            process.log.rename(process.log.with_suffix(".old"))
        self._start(0)

    def close(self) -> None:
        for process in reversed(self.processes.values()):
            process.kill()  # its data is removed anyway, and asking takes up to ten seconds
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> HBase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _start(self, servers: int) -> None:
        if servers:
            self._spawn("keeper", f"{_PACKAGE}.zookeeper.HQuorumPeer", "start", heap="128m")
        master = self._spawn("master", f"{_PACKAGE}.master.HMaster", "start", heap=self._heap)
        for number in range(servers):
            port = f"hbase.regionserver.port={self.ports[number]}"
            name = f"{_PACKAGE}.regionserver.HRegionServer"
            self._spawn(f"server{number}", name, "-D", port, "start", heap="512m")
        gateway = self._spawn(
            "gateway", f"{_PACKAGE}.thrift.ThriftServer", "start", *(["-f"] if self.framed else []), heap="512m"
        )
        master.wait_ready(lambda: self._initialised(master.log, max(servers, 1)), 120)
        gateway.wait_ready(lambda: self.client().tables(), 60)

    @staticmethod
    def _initialised(log: Path, servers: int) -> None:
        """The gateway lists tables seconds before one can be made: the master's log knows when that is."""
        said = log.read_text(errors="replace")
        if "Master has completed initialization" not in said:
            raise RuntimeError("the master is not ready")
        if len(set(re.findall(r"Registering regionserver=(\S+)", said))) < servers:
            raise RuntimeError("region servers are missing")

    def _spawn(self, name: str, main: str, *arguments: str, heap: str) -> Process:
        options = [one for one in _JAVA if not (self._fast and one.startswith("-XX:Tiered"))]
        command = [install("default-jre-headless", "java"), *options, f"-Xmx{heap}",
                   f"-Djava.io.tmpdir={self.folder}/data", "-cp", f"{self.folder}/conf:{self._jars}/*", main,
                   *arguments]  # fmt: skip
        process = self.processes[name] = Process(name, command, self.folder)
        return process

    def _write(self) -> None:
        inside = "".join(
            f"<property><name>{name}</name><value>{escape(str(value))}</value></property>\n"
            for name, value in self._settings.items()
        )
        (self.folder / "conf" / "hbase-site.xml").write_text(f"<configuration>\n{inside}</configuration>\n")
        (self.folder / "conf" / "log4j.properties").write_text(_LOG)

    def _secured(self, key: Path) -> dict[str, object]:
        """Servers speak TLS to whoever begins so, by the certificate `certificate`."""
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        both = self.folder / "both.pem"
        plain = serialization.NoEncryption()
        both.write_bytes(
            private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
            + self.certificate.read_bytes()
        )
        return {
            "hbase.server.netty.tls.enabled": "true",
            "hbase.server.netty.tls.supportplaintext": "true",
            "hbase.server.netty.tls.client.auth.mode": "NONE",
            "hbase.client.netty.tls.enabled": "false",
            "hbase.rpc.tls.keystore.location": both,
            "hbase.rpc.tls.keystore.type": "PEM",
        }

    def _usual(self, distributed: bool) -> dict[str, object]:
        loopback = ("hbase.zookeeper.quorum", "hbase.zookeeper.property.clientPortAddress", "hbase.master.hostname",
                    "hbase.regionserver.hostname", "hbase.master.ipc.address", "hbase.regionserver.ipc.address",
                    "hbase.regionserver.thrift.ipaddress")  # fmt: skip
        silent = ("hbase.master.info.port", "hbase.regionserver.info.port", "hbase.thrift.info.port")
        return {
            **dict.fromkeys(loopback, self.host),
            **dict.fromkeys(silent, -1),
            "hbase.cluster.distributed": str(distributed).lower(),
            "hbase.rootdir": f"file://{self.folder}/data/root",
            "hbase.tmp.dir": f"{self.folder}/data/tmp",
            "hbase.zookeeper.property.dataDir": f"{self.folder}/data/zk",
            "hbase.zookeeper.property.clientPort": self.keeper,
            "hbase.zookeeper.property.admin.enableServer": "false",
            "hbase.unsafe.stream.capability.enforce": "false",
            "hbase.wal.provider": "filesystem",
            "fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
            "hbase.master.port": self.master,
            "hbase.regionserver.port": self.port,
            "hbase.regionserver.thrift.port": self.gateway,
            "hbase.regionserver.handler.count": 12,
            "hbase.client.retries.number": 8,
            # Quick to start, and to make and drop tables.
            "hbase.regionserver.msginterval": 300,
            "hbase.master.wait.on.regionservers.interval": 100,
            "hbase.procedure.remote.dispatcher.delay.msec": 20,
            "zookeeper.recovery.retry": 1,
        }
