"""Redis as a process of ours, on loopback: `Redis()` is up when it is made. `reader` may do all, with a password; the
user `default` none. Over TLS at `tls_port` by the certificate `certificate`. Debian's `redis-tools` has the server too,
without a daemon: under its name it is one.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Mapping
from typing import Any, Self

import redis

from tests.services import certificate
from tests.services.process import Process, free_port, install, private_folder
from workbench.contract import ConnectionConfig, Manifest, Secret
from workbench_redis.manifest import MANIFEST

__all__ = ["PASSWORD", "USER", "Redis"]

USER = "reader"
PASSWORD = "a'b\"c@d:/?#%00\\ é$"


class Redis:
    host = "127.0.0.1"
    demo: Mapping[str, Any] = {"tables": ("orders",), "unit": "milliseconds"}

    def __init__(self, password: str = PASSWORD) -> None:
        self.password, self.folder = password, private_folder("redis")
        self.port, self.tls_port = free_port(), free_port()
        try:
            self.certificate, key = certificate.make(self.folder)
            (self.folder / "users.acl").write_text(
                f"user default off\nuser {USER} on #{hashlib.sha256(password.encode()).hexdigest()} ~* &* +@all\n"
            )
            (self.folder / "redis-server").symlink_to(install("redis-tools", "redis-check-rdb"))
            self._command = [
                self.folder / "redis-server", "--bind", self.host, "--port", self.port, "--tls-port", self.tls_port,
                "--tls-cert-file", self.certificate, "--tls-key-file", key, "--tls-auth-clients", "no",
                "--dir", self.folder, "--save", "", "--appendonly", "yes", "--appendfsync", "no",
                "--aclfile", self.folder / "users.acl", "--databases", 16,
            ]  # fmt: skip
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, **more: str) -> str:
        asked = "&".join(f"{name}={value}" for name, value in more.items())
        return f"redis://{USER}@{self.host}:{self.port}/0{'?' + asked if asked else ''}"

    @classmethod
    def served(cls) -> Self:
        """For somebody who tries things."""
        return cls(secrets.token_urlsafe(12))

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False, **more: Any) -> ConnectionConfig:
        where = {"host": self.host, "port": self.port, "user": USER, **more}
        return ConnectionConfig("redis", where, {"password": Secret(self.password)}, writable)

    def told(self) -> str:
        return (
            f'import os; os.environ["REDIS_PASSWORD"] = {self.password!r}\n'
            f'wb.connect("redis", "{self.url()}", secret="env:REDIS_PASSWORD", writable=True)'
        )

    def client(self) -> redis.Redis:
        """A plain client: how tests fill it."""
        return redis.Redis(self.host, self.port, username=USER, password=self.password, protocol=2, socket_timeout=30)

    def start(self) -> None:
        self._process = Process("redis", [str(part) for part in self._command], self.folder)
        self._process.wait_ready(self._ping)

    def kill(self) -> None:
        """As a power cut would."""
        self._process.kill()

    def close(self) -> None:
        self._process.stop(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ping(self) -> None:
        with self.client() as client:
            client.ping()
