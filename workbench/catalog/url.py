"""`scheme://user@host:port/database?name=value`, read by an allow-list.

A connection URL is code for many drivers, so nothing is passed through: each part must be a property of the
connector's schema. Written by hand rather than with `urllib.parse`, which drops control characters silently and puts
the text of a URL into its errors; nothing here repeats what was typed except names of schemes and parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.catalog import connectors
from workbench.catalog.bounded import TookTooLong, within
from workbench.catalog.parameters import converted, known, public, secret_names
from workbench.contract.connector import Manifest
from workbench.contract.errors import InvalidParameter, UrlRefused, UsageError
from workbench.contract.secret import Secret
from workbench.kit import hosts

__all__ = ["Parsed", "bare", "check_host", "host_name", "parse"]

_LONGEST = 8192
_PARTS = ("user", "host", "port", "database")
_WAY_OUT = (
    "a notebook's history keeps what was typed. Leave it out and you are asked for it, "
    'or write secret="env:NAME" and set that variable.'
)


@dataclass(frozen=True)
class Parsed:
    manifest: Manifest
    parameters: Mapping[str, Any]


def parse(url: Secret, by_scheme: Callable[[str], Manifest] = connectors.by_scheme) -> Parsed:
    """The connector that the URL names, and its parameters, typed. The URL comes wrapped, since it may hold a
    password that must not be seen in a traceback's variables; for the same reason an error comes without the frames
    in which the URL was taken apart. Raises UrlRefused and InvalidParameter."""
    try:
        return _parse(url, by_scheme)
    except UsageError as error:
        refused = bare(error)
    raise refused


def bare(error: UsageError) -> UsageError:
    """The error without what led to it: frames and other errors, in which what was typed can be seen."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


def _parse(url: Secret, by_scheme: Callable[[str], Manifest]) -> Parsed:
    text = url.reveal()
    if len(text) > _LONGEST:
        raise UrlRefused("its length", f"a connection URL has at most {_LONGEST} characters.")
    scheme, rest = _split_scheme(text)
    manifest = by_scheme(scheme)
    if not rest.startswith("//"):
        raise UrlRefused("its form", f"write {scheme}://user@host:port/database?name=value.")
    authority, path, query = _split_rest(rest[2:])
    found = _authority(authority)
    if path:
        found["database"] = path
    schema = manifest.parameters.get("properties", {})
    parameters: dict[str, Any] = {}
    for name, value in found.items():
        if name not in schema:
            raise UrlRefused(
                f"the {name}", f"a {manifest.label} connection has none; it has {known(public(manifest))}."
            )
        plain = value if name == "host" else _decoded(value, f"the {name}")
        parameters[name] = converted(name, plain, schema[name])
    for name, value in _query(query):
        _check_name(name, manifest, parameters)
        parameters[name] = converted(name, value, schema[name])
    return Parsed(manifest, parameters)


def _split_scheme(text: str) -> tuple[str, str]:
    scheme, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,31}", scheme):
        raise UrlRefused("its form", "a URL begins with a scheme: scheme://user@host:port/database.")
    return scheme.lower(), rest


def _split_rest(rest: str) -> tuple[str, str, str]:
    if "#" in rest:
        raise UrlRefused("a `#`", "a connection URL has no fragment; within a name or a value it is written %23.")
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    if "@" in path or "@" in query:
        # What comes before such an @ may well be the second half of a password with `/` or `?` in it.
        raise UrlRefused("an `@` after the host", "within a name or a value it is written %40, `/` %2F and `?` %3F.")
    if "/" in path:
        raise UrlRefused("a `/` in the database", "within a name it is written %2F.")
    return authority, path, query


def _authority(authority: str) -> dict[str, str]:
    userinfo, at, address = authority.rpartition("@")
    if ":" in userinfo:
        raise UrlRefused("the password in it", _WAY_OUT)
    if "@" in userinfo:
        raise UrlRefused("an `@` in the user", "within a name it is written %40.")
    match = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", address, re.DOTALL)
    if match is None:
        raise UrlRefused("the host", "an IPv6 address is written in brackets: [::1].")
    host, port = match.groups()
    found: dict[str, str] = {}
    if at and userinfo:
        found["user"] = userinfo
    if host:
        found["host"] = host_name(_decoded(host, "the host"))
    if port is not None:
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise InvalidParameter("port", "must be an integer from 1 to 65535.")
        found["port"] = str(int(port))
    return found


def host_name(host: str) -> str:
    """The host as it will be resolved: what is checked is what is used. Raises UrlRefused."""
    bare = hosts.normal(host)
    bracketed = bare.startswith("[") and bare.endswith("]")
    bare = bare[1:-1] if bracketed else bare
    if bracketed or ":" in bare:
        if hosts.numeric(bare) is None or not re.fullmatch(r"[0-9a-f:.]+(%[a-z0-9_.-]{1,15})?", bare):
            raise UrlRefused("the host", "it is not an IPv6 address.")
    else:
        if not bare.isascii():
            try:
                bare = bare.encode("idna").decode("ascii")
            except UnicodeError:
                raise UrlRefused("the host", "it is not a host name.") from None
        if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\.?", bare):
            raise UrlRefused("the host", "it is not a host name.")
    _refuse_metadata(bare)
    return bare


def check_host(host: str, patience: float = 3.0) -> None:
    """Also refuses a name that leads to a metadata address now. A name that cannot be resolved, or not in time, is
    left to the connector to report."""
    import socket

    _refuse_metadata(host)
    if hosts.numeric(host) is not None:
        return
    try:
        found = within(patience, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError, TookTooLong):
        return
    for *_, address in found:
        _refuse_metadata(str(address[0]))


def _refuse_metadata(host: str) -> None:
    if hosts.metadata(host):
        raise UrlRefused(
            "the host", "it is a link-local address, where cloud machines keep credentials; never allowed."
        )


def _query(query: str) -> list[tuple[str, str]]:
    pairs = []
    for part in query.split("&") if query else []:
        name, equals, value = part.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
            raise UrlRefused("its parameters", "after the `?` come name=value, joined by `&`.")
        pairs.append((name, value))
    return [(name, _decoded(value, f"parameter `{name}`")) for name, value in pairs]


def _check_name(name: str, manifest: Manifest, before: Mapping[str, Any]) -> None:
    if name in secret_names(manifest):
        raise UrlRefused(f"parameter `{name}`", _WAY_OUT)
    others = [one for one in public(manifest) if one not in _PARTS]
    if name in _PARTS:
        raise UrlRefused(f"parameter `{name}`", "it goes before the `?`: scheme://user@host:port/database.")
    if name not in others:
        raise UrlRefused(f"parameter `{name}`", f"it is not on the list of {manifest.label}: {known(others)}.")
    if name in before:
        raise UrlRefused(f"parameter `{name}`", "it is given twice.")


def _decoded(text: str, what: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise UrlRefused(what, "a `%` itself is written %25.")
    parts = re.split(r"((?:%[0-9A-Fa-f]{2})+)", text)
    try:
        return "".join(bytes.fromhex(part.replace("%", "")).decode() if part[:1] == "%" else part for part in parts)
    except UnicodeDecodeError:
        raise UrlRefused(what, "what is written with `%` is not UTF-8.") from None
