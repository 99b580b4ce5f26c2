"""Connections: what there is to connect to, the saved ones, trying, saving and forgetting them. Secrets go in, and
never come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from workbench.catalog import Catalog, connectors
from workbench.catalog.icons import checked
from workbench.catalog.making import identity
from workbench.catalog.parameters import secret_names
from workbench.catalog.probing import probe
from workbench.catalog.saved import Saved
from workbench.catalog.secrets import Typed, shown
from workbench.contract.connector import Manifest, ServerInfo
from workbench.contract.errors import DocumentError, WorkbenchError
from workbench.contract.secret import Secret
from workbench.server.handlers import Handler

__all__ = ["HANDLERS"]

_CHANGES = "(changes)"
"""Changes wait for each other, as calls to one source do, for one that takes another's place connects first: a server
that does not answer holds up the next change, and no Stop."""


class _Connections(Handler):
    auth_resource = "workbench:connections"


class ConnectorsHandler(_Connections):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        manifests = await self.blocking(connectors.manifests)
        self.answer({"connectors": [_connector(one) for one in sorted(manifests.values(), key=lambda m: m.label)]})


class ConnectionsHandler(_Connections):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        catalog = self.services.catalog
        self.answer({"connections": await self.blocking(lambda: _listed(catalog))})

    @web.authenticated
    @authorized
    async def post(self) -> None:
        body, catalog = self.body("ConnectionBody"), self.services.catalog
        self.answer(await self.blocking(lambda: _made(catalog, body), _CHANGES), 201)


class ConnectionHandler(_Connections):
    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        catalog = self.services.catalog
        self.answer(await self.blocking(lambda: _connection(catalog.saved(name))))

    @web.authenticated
    @authorized
    async def put(self, name: str) -> None:
        body, catalog = self.body("ConnectionBody"), self.services.catalog
        self.answer(await self.blocking(lambda: _changed(catalog, name, body), _CHANGES))

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        catalog = self.services.catalog
        await self.blocking(lambda: catalog.remove(name), _CHANGES)
        self.set_status(204)
        self.finish()


class TestHandler(_Connections):
    asking = ("POST",)

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        catalog = self.services.catalog
        self.answer(_server(await self.blocking(lambda: catalog.test(name), name)))


class TestUnsavedHandler(_Connections):
    asking = ("POST",)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        body, catalog = self.body("ConnectionBody"), self.services.catalog
        secrets = _secrets(body)

        def tried() -> ServerInfo:
            return probe(catalog, body["name"], body["connector"], body["parameters"], secrets, body.get("before"))

        self.answer(_server(await self.blocking(tried, body["name"])))


HANDLERS = [
    ("connectors", ConnectorsHandler),
    ("connections", ConnectionsHandler),
    ("connectors/test", TestUnsavedHandler),
    ("connections/{name}", ConnectionHandler),
    ("connections/{name}/test", TestHandler),
]


def _made(catalog: Catalog, body: Mapping[str, Any]) -> dict[str, Any]:
    with catalog.alone():  # of two that come at once, one finds the other there
        if body["name"] in catalog.names():
            raise web.HTTPError(409, "There is a connection of this name already: edit that one, or choose another")
        return _saved(catalog, body)


def _saved(catalog: Catalog, body: Mapping[str, Any], secrets: Mapping[str, Secret] | None = None) -> dict[str, Any]:
    given = {**(secrets or {}), **_secrets(body)}
    return _connection(
        catalog.connect(
            body["name"],
            connector=body["connector"],
            parameters=body["parameters"],
            secret=given or None,
            writable=body.get("writable", False),
            tables=body.get("tables", {}),
            test=body.get("test", True),
        )
    )


def _changed(catalog: Catalog, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Under another name it is another connection, which takes what is not said from this one, and then its place."""
    with catalog.alone():
        return _exchanged(catalog, name, body)


def _exchanged(catalog: Catalog, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    before = catalog.saved(name)
    body = {"writable": before.writable, "tables": dict(before.tables), **body}
    if body["name"] == before.name:
        return _saved(catalog, body)
    if body["name"] in catalog.names():
        raise web.HTTPError(409, "There is a connection of this name already: choose another")
    secrets: dict[str, Secret] = {}
    if identity(before) == identity(replace(before, parameters=body["parameters"])):
        secrets |= catalog.config(before.name).secrets
        secrets |= {key: Typed(value) for key, value in before.secrets.items() if value.startswith("env:")}
    made = _saved(catalog, body, secrets)
    catalog.remove(before.name)
    return made


def _secrets(body: Mapping[str, Any]) -> dict[str, Secret]:
    """As they were typed into a form; `env:NAME` is a reference. Empty means that nothing was typed."""
    given = {key: value for key, value in (body.get("secrets") or {}).items() if value}
    return {key: Typed(value) if value.startswith("env:") else Secret(value) for key, value in given.items()}


def _listed(catalog: Catalog) -> list[dict[str, Any]]:
    found = []
    for name in catalog.names():
        try:
            found.append(_connection(catalog.saved(name)))
        except DocumentError as error:
            found.append({**_connection(Saved(name, "", {})), "problem": str(error)})
    return found


def _connection(saved: Saved) -> dict[str, Any]:
    label, problem = saved.connector, ""
    if saved.connector:
        try:
            label = connectors.manifest(saved.connector).label
        except WorkbenchError as error:
            problem = str(error)
    return {
        "name": saved.name,
        "connector": saved.connector,
        "label": label,
        "where": saved.where,
        "writable": saved.writable,
        "parameters": dict(saved.parameters),
        "secrets": {key: shown(reference) for key, reference in saved.secrets.items()},
        "notes": list(saved.notes),
        "problem": problem,
    }


def _connector(manifest: Manifest) -> dict[str, Any]:
    able = manifest.capabilities
    return {
        "name": manifest.name,
        "label": manifest.label,
        "icon": checked(manifest.icon),
        "schemes": list(manifest.schemes),
        "suffixes": list(manifest.suffixes),
        "folders": manifest.folders,
        "parameters": dict(manifest.parameters),
        "secrets": secret_names(manifest),
        "capabilities": {
            "tables": able.tables,
            "sinks": able.sinks,
            "feeds": able.feeds,
            "native": able.native,
            "schemas": able.schemas,
        },
    }


def _server(info: ServerInfo) -> dict[str, Any]:
    return {"product": info.product, "version": info.version, "details": dict(info.details)}
