"""How a connection is encrypted, by its parameters `tls` and `ca_file` (`workbench.kit.parameters`)."""

from __future__ import annotations

import functools
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.contract.errors import InvalidParameter

__all__ = ["PLAIN", "Encryption"]


@dataclass(frozen=True)
class Encryption:
    """`kind` is one of `disabled`, `preferred`, `required` (encrypted for whoever answers) and `verify`; `ca_file` a
    PEM file of authorities, in place of those that this machine trusts (or that SSL_CERT_FILE names)."""

    kind: str
    ca_file: str | None = None

    @classmethod
    def asked(cls, parameters: Mapping[str, Any], default: str = "disabled", *, also: bool = False) -> Encryption:
        """As a connection's parameters say. Raises InvalidParameter where `ca_file` is said and nothing looks at
        certificates (`also`: something beside this connection does), or where it has none to offer."""
        kind, ca_file = str(parameters.get("tls", default)), parameters.get("ca_file")
        if ca_file is None:
            return cls(kind)
        if kind != "verify" and not also:
            raise InvalidParameter("ca_file", f"is said, and with tls={kind} nothing is verified: say tls=verify.")
        made = cls(kind, str(ca_file))
        made.verifying()
        return made

    def verifying(self) -> ssl.SSLContext:
        """Raises InvalidParameter where the file is not there or no certificate is in it."""
        if self.ca_file is None:
            return _trusted(*(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")))
        try:
            return _lenient(ssl.create_default_context(cafile=self.ca_file))
        except ssl.SSLError:
            why = f"names {self.ca_file!r}, which holds no certificate. It is to be a PEM file."
            raise InvalidParameter("ca_file", why) from None
        except OSError as error:
            why = f"names {self.ca_file!r}, which cannot be read: {(error.strerror or str(error)).lower()}."
            raise InvalidParameter("ca_file", why) from None

    def context(self) -> ssl.SSLContext:
        """For a connection that is encrypted."""
        return self.verifying() if self.kind == "verify" else _trusting()

    def around(self, plain: socket.socket, host: str) -> socket.socket:
        """`plain` itself, or TLS over it. Raises OSError and ValueError as `ssl` does."""
        return plain if self.kind == "disabled" else self.context().wrap_socket(plain, server_hostname=host)


PLAIN = Encryption("disabled")


def _lenient(context: ssl.SSLContext) -> ssl.SSLContext:
    """Authorities of companies often lack what Python 3.13 began to insist on."""
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


@functools.lru_cache(4)
def _trusted(*_named: str | None) -> ssl.SSLContext:
    return _lenient(ssl.create_default_context())


@functools.cache
def _trusting() -> ssl.SSLContext:
    """Loads no authorities, which would take 20 ms a session, all threads waiting."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
