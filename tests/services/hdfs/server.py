"""A name node and a data node as processes of ours: `Hdfs()` is up when it is made, empty, and asks who reads."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.services import certificate
from tests.services.hdfs import fetch
from tests.services.process import Process, ServiceError, free_port, install, private_folder

__all__ = ["Hdfs", "HdfsPair"]

KEYS = "changeit"
"""The keystore's password."""
_READY = 120.0
_OWNER = "root"
_OPENED = ("io", "lang", "nio", "util")
_MAINS = {"namenode": "server.namenode.NameNode", "datanode": "server.datanode.DataNode"}
_LOGGING = """log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p [%t] %c{2}: %m%n
"""


class Hdfs:
    """A running pair on loopback. Who started it may do all; other users what permissions say."""

    host = "127.0.0.1"
    nodes: tuple[str, ...] = ("namenode",)

    def __init__(self) -> None:
        self.folder = private_folder("hdfs")
        self.port, self.web_port, self.data_port, self.data_web_port, ipc = (free_port() for _ in range(5))
        self.tls_port, self.data_tls_port = free_port(), free_port()
        self.certificate = keystore(self.folder)
        self.location = f"hdfs://{self.host}:{self.port}" if len(self.nodes) == 1 else "hdfs://lake"
        self.address = f"http://{self.host}:{self.web_port}"
        self._processes: dict[str, Process] = {}
        try:
            self._settle(ipc)
            self._format()
            for name in (*self.nodes, "datanode"):
                self._launch(name)
            self._begin()
            self._processes["datanode"].wait_ready(self._answers, _READY)
        except BaseException:
            self.close()
            raise

    def put(self, path: str, content: bytes, mode: str = "644") -> None:
        """A new file, in the place of an old one. Not the connector's code, so that a mistake there cannot hide."""
        said = f"op=CREATE&overwrite=true&permission={mode}&noredirect=true&user.name={_OWNER}"
        base, _, query = json.loads(self._sent("PUT", path, said))["Location"].partition("?")
        where = f"{base.partition('/webhdfs/')[0]}/webhdfs/v1{urllib.parse.quote(path)}?{query}"
        with urllib.request.urlopen(urllib.request.Request(where, content, method="PUT"), timeout=60) as answer:
            assert answer.status == 201

    def make(self, path: str, mode: str = "755") -> None:
        """A folder, with those above it."""
        self._sent("PUT", path, f"op=MKDIRS&permission={mode}&user.name={_OWNER}")

    def remove(self, path: str) -> None:
        self._sent("DELETE", path, f"op=DELETE&recursive=true&user.name={_OWNER}")

    def kill(self, name: str) -> None:
        """`namenode` or `datanode`, as a power cut would."""
        self._processes[name].kill()

    def start(self, name: str) -> None:
        """Again, where it was."""
        self._launch(name)
        self._processes[name].wait_ready(self._answers, _READY)

    def close(self) -> None:
        for process in reversed(self._processes.values()):
            process.stop(5)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sent(self, method: str, path: str, said: str) -> bytes:
        asked = urllib.request.Request(f"{self.address}/webhdfs/v1{urllib.parse.quote(path)}?{said}", method=method)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            found: bytes = answer.read()
            return found

    def _answers(self) -> None:
        """Whether both do: a file can be written and read."""
        self.put("/ready", b"x")
        with urllib.request.urlopen(f"{self.address}/webhdfs/v1/ready?op=OPEN", timeout=10) as answer:
            assert answer.read() == b"x"

    def _begin(self) -> None:
        pass

    def _settle(self, ipc: int) -> None:
        for name in ("hdfs", "datanode"):  # looked for on the class path, and of no other use here
            (self.folder / "conf/webapps" / name).mkdir(parents=True)
        (self.folder / "conf/log4j.properties").write_text(_LOGGING)
        core = {
            "fs.defaultFS": self.location,
            "hadoop.tmp.dir": f"{self.folder}/data",
            "hadoop.security.group.mapping": "org.apache.hadoop.security.NullGroupsMapping",
        }
        _write(self.folder / "conf/core-site.xml", core)
        store = {"location": f"{self.folder}/keys.p12", "password": KEYS, "keypassword": KEYS, "type": "PKCS12"}
        _write(
            self.folder / "conf/ssl-server.xml", {f"ssl.server.keystore.{name}": said for name, said in store.items()}
        )
        for name in (*self.nodes, "datanode"):
            (self.folder / name).mkdir()
            _write(self.folder / name / "hdfs-site.xml", {**self._settings(ipc), **self._own(name)})

    def _settings(self, ipc: int) -> dict[str, str]:
        return {
            "dfs.replication": "1",
            "dfs.namenode.rpc-bind-host": self.host,
            "dfs.http.policy": "HTTP_AND_HTTPS",
            "dfs.namenode.http-address": f"{self.host}:{self.web_port}",
            "dfs.namenode.https-address": f"{self.host}:{self.tls_port}",
            "dfs.datanode.address": f"{self.host}:{self.data_port}",
            "dfs.datanode.http.address": f"{self.host}:{self.data_web_port}",
            "dfs.datanode.https.address": f"{self.host}:{self.data_tls_port}",
            "dfs.datanode.ipc.address": f"{self.host}:{ipc}",
            "dfs.datanode.hostname": self.host,
            "dfs.namenode.safemode.extension": "0",
            "dfs.heartbeat.interval": "1",
        }

    def _own(self, name: str) -> dict[str, str]:
        return {}

    def _java(self, name: str, main: str, *arguments: str) -> list[str | Path]:
        return [
            install("default-jre-headless", "java"),
            *(f"--add-opens=java.base/java.{one}=ALL-UNNAMED" for one in _OPENED),
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Djava.net.preferIPv4Stack=true",
            f"-Djava.io.tmpdir={self.folder}",
            "-cp",
            f"{self.folder}/{name}:{self.folder}/conf:{fetch.home()}/*",
            f"org.apache.hadoop.hdfs.{main}",
            *arguments,
        ]

    def _ran(self, command: Sequence[str | Path]) -> None:
        ran = subprocess.run(list(map(str, command)), cwd=self.folder, capture_output=True, text=True, timeout=_READY)
        if ran.returncode != 0:
            raise ServiceError(f"HDFS could not be made ready:\n{ran.stderr[-3000:]}")

    def _format(self) -> None:
        self._ran(self._java(self.nodes[0], _MAINS["namenode"], "-format", "-nonInteractive"))

    def _launch(self, name: str) -> None:
        command = self._java(name, _MAINS["datanode" if name == "datanode" else "namenode"])
        self._processes[name] = Process(name, command, self.folder)


class HdfsPair(Hdfs):
    """Two name nodes, the first one active until it is killed and the other one is made to be. They share a folder, as
    no two machines do."""

    nodes = ("nn1", "nn2")

    def __init__(self) -> None:
        self._ports = {name: (free_port(), free_port()) for name in self.nodes}
        super().__init__()

    def addresses(self) -> tuple[str, ...]:
        return tuple(f"http://{self.host}:{web}" for _, web in self._ports.values())

    def take_over(self) -> None:
        """The second one is active; the first one must be dead."""
        self._activate("nn2", "--forceactive")

    def _begin(self) -> None:
        for name in self.nodes:
            self._processes[name].wait_ready(lambda name=name: self._listens(name), _READY)  # type: ignore[misc]
        self._activate("nn1")

    def _activate(self, name: str, *arguments: str) -> None:
        self._ran(self._java("datanode", "tools.DFSHAAdmin", "-transitionToActive", name, *arguments))
        self.address = f"http://{self.host}:{self._ports[name][1]}"

    def _listens(self, name: str) -> None:
        for port in self._ports[name]:
            socket.create_connection((self.host, port), 5).close()

    def _format(self) -> None:
        super()._format()
        shutil.copytree(self.folder / "data/nn1", self.folder / "data/nn2")

    def _settings(self, ipc: int) -> dict[str, str]:
        usual = super()._settings(ipc)
        del usual["dfs.namenode.http-address"], usual["dfs.namenode.https-address"]
        usual["dfs.http.policy"] = "HTTP_ONLY"
        base = "org.apache.hadoop.hdfs.server.namenode.ha"
        usual |= {
            "dfs.nameservices": "lake",
            "dfs.ha.namenodes.lake": ",".join(self.nodes),
            "dfs.namenode.shared.edits.dir": f"file://{self.folder}/data/shared",
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            "dfs.client.failover.proxy.provider.lake": f"{base}.ConfiguredFailoverProxyProvider",
        }
        for name, (port, web) in self._ports.items():
            usual[f"dfs.namenode.rpc-address.lake.{name}"] = f"{self.host}:{port}"
            usual[f"dfs.namenode.http-address.lake.{name}"] = f"{self.host}:{web}"
            usual[f"dfs.namenode.name.dir.lake.{name}"] = f"{self.folder}/data/{name}"
        return usual

    def _own(self, name: str) -> dict[str, str]:
        return {} if name == "datanode" else {"dfs.ha.namenode.id": name}


def keystore(folder: Path) -> Path:
    """`keys.p12`, a key for 127.0.0.1 and localhost, and the certificate of its own, whose file is told."""
    public, private = certificate.make(folder)
    key = serialization.load_pem_private_key(private.read_bytes(), None)
    found = x509.load_pem_x509_certificate(public.read_bytes())
    packed = pkcs12.serialize_key_and_certificates(
        b"hdfs", key, found, None, serialization.BestAvailableEncryption(KEYS.encode())  # type: ignore[arg-type]
    )  # fmt: skip
    (folder / "keys.p12").write_bytes(packed)
    return public


def _write(file: Path, settings: dict[str, str]) -> None:
    lines = [
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>"
        for name, value in settings.items()
    ]
    file.write_text("\n".join(["<configuration>", *lines, "</configuration>", ""]))
