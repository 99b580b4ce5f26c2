"""Trying a connection before it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.catalog import connectors
from workbench.catalog.making import check_name, identity
from workbench.catalog.parameters import known, secret_names, validate, with_defaults
from workbench.catalog.saved import Saved
from workbench.catalog.secrets import Typed, environment_reference
from workbench.catalog.url import check_host, host_name
from workbench.contract.connector import ConnectionConfig, ServerInfo
from workbench.contract.errors import DocumentError, InvalidParameter, UnknownConnection
from workbench.contract.secret import Secret

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog

__all__ = ["probe"]


def probe(
    catalog: Catalog,
    name: str,
    connector: str,
    parameters: Mapping[str, Any],
    secrets: Mapping[str, Secret],
    before: str | None = None,
) -> ServerInfo:
    """Connects as a connection of these settings would, and saves nothing. A secret that is not given is the one that
    the connection `before` has (default: that of the same name), where that goes to the same place as the same user: to
    no other place. Raises InvalidParameter, UrlRefused, UnknownConnector, SecretMissing, and what the source raises."""
    old = name if before is None else before
    check_name(name, [one for one in catalog.names() if one != old])
    manifest = connectors.manifest(connector)
    given = dict(parameters)
    names = secret_names(manifest)
    for key in given.keys() & set(names):
        raise InvalidParameter(key, "is a secret, which goes among the secrets.")
    validate(f"the parameters of {manifest.label}", given, manifest.parameters)
    if isinstance(host := given.get("host"), str):
        given["host"] = host_name(host)
        check_host(given["host"])
    if set(secrets) - set(names):  # not shown: it may be the secret itself, in the wrong place
        raise InvalidParameter("secrets", f"has no part of that name for {manifest.label}: {known(names)}.")
    found = {key: _found(catalog, value) for key, value in secrets.items()}
    same = _same(catalog, old, Saved(name, connector, given))
    if same is not None:
        kept = {key: reference for key, reference in same.secrets.items() if key not in found}
        found |= {key: catalog.secrets.find(reference) for key, reference in kept.items()}
    opened = manifest.open(ConnectionConfig(name, with_defaults(given, manifest.parameters), found))
    try:
        with catalog.naming(name):
            return opened.test()
    finally:
        opened.close()


def _same(catalog: Catalog, name: str, wanted: Saved) -> Saved | None:
    try:
        before = catalog.saved(name)
    except (UnknownConnection, DocumentError):
        return None
    return before if before.connector == wanted.connector and identity(before) == identity(wanted) else None


def _found(catalog: Catalog, secret: Secret) -> Secret:
    return catalog.secrets.find(environment_reference(secret)) if isinstance(secret, Typed) else secret
