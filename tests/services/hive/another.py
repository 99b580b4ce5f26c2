"""One more HiveServer2 over the same metastore, with settings of its own: what one server cannot be all at once."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from tests.services.hive import fetch, settings
from tests.services.hive.client import Client
from tests.services.process import Process, free_port

__all__ = ["Another", "over_tls", "without_sasl"]

_READY = 170.0


class Another:
    """Up when it is made; a context manager. It may be killed, and started again where it was."""

    def __init__(
        self, folder: Path, password: str, metastore: int, more: Mapping[str, str], ready: Callable[[int], None]
    ) -> None:
        self.folder, self.port, self.http_port = folder, free_port(), free_port()
        self._password, self._ready = password, ready
        settings.write(folder, metastore=metastore, binary=self.port, http=self.http_port, web=free_port(), more=more)
        self.start()

    def start(self) -> None:
        command = settings.java(fetch.home(), self.folder, "512m", "org.apache.hive.service.server.HiveServer2")
        environment = {"WORKBENCH_HIVE_PASSWORD": self._password, "LC_ALL": "C.UTF-8"}
        self._process = Process("hiveserver2", command, self.folder, environment=environment)
        self._process.wait_ready(lambda: self._ready(self.port), _READY)

    def kill(self) -> None:
        """As a power cut would."""
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop(5)


def without_sasl(folder: Path, metastore: int) -> Another:
    """Its authentication is NOSASL."""
    return Another(folder, "", metastore, {"hive.server2.authentication": "NOSASL"}, _spoken)


def over_tls(folder: Path, password: str, metastore: int) -> Another:
    """It wants TLS; `certificate.pem` in its folder is its certificate, and its own authority. It reads rows when they
    are fetched, as all did before version 4."""
    folder.mkdir(exist_ok=True)
    settings.keystore(folder)
    more = {
        "hive.server2.use.SSL": "true",
        "hive.server2.keystore.path": f"{folder}/keys.p12",
        "hive.server2.keystore.password": settings.KEYS,
        "hive.server2.keystore.type": "PKCS12",
        "hive.fetch.task.caching": "false",
    }
    return Another(folder, password, metastore, more, _shaken)


def _spoken(port: int) -> None:
    Client(port, "reader", "", sasl=False, timeout=20).close()


def _shaken(port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain):
        pass
