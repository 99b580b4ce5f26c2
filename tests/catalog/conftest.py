"""A third-party connector, installed as pip would: a module and its `.dist-info` on the path."""

from __future__ import annotations

import socket
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench.catalog import Catalog, connectors
from workbench.contract.secret import Secret

Install = Callable[..., None]

TOY = """
import os
import pyarrow as pa
from workbench.contract import Capabilities, Manifest, ServerInfo, TableInfo, TableRef
from workbench.contract.errors import QueryFailed, UnknownTable

MANIFEST = Manifest(
    name="{name}", label="Toy", capabilities=Capabilities(tables=True), implementation="{module}:Toy",
    schemes={schemes}, suffixes={suffixes}, folders={folders}, parameters=dict(
        type="object", additionalProperties=False, properties=dict(
            host=dict(type="string"), port=dict(type="integer", minimum=1, maximum=65535, default=9999),
            user=dict(type="string"), database=dict(type="string", minLength=1), path=dict(type="string"),
            password=dict(type="string", secret=True), passphrase=dict(type="string", secret=True),
            tls=dict(enum=["required", "preferred", "off"], type="string"), compress=dict(type="boolean"),
            timeout=dict(type="number", exclusiveMinimum=0), retries=dict(type="integer", minimum=0, maximum=9))),
    table_parameters=dict(type="object", additionalProperties=False, properties=dict(format=dict(type="string"))))

TABLES = {{TableRef("Orders"): pa.schema([("id", pa.int64())]), TableRef("items"): pa.schema([("id", pa.int64())]),
           TableRef("items", "old"): pa.schema([("id", pa.int32())]), TableRef("log", "old"): pa.schema([])}}


class Toy:
    feeds = sinks = None
    opened = []

    def __init__(self, config):
        self.config, self.closed, self.asked = config, False, 0
        Toy.opened.append(self)

    @property
    def tables(self):
        return self

    def test(self):
        if self.config.parameters.get("database") == "broken":
            raise QueryFailed("it is broken", 7)
        return ServerInfo("Toy", "1")

    def list(self, like="", after=None, limit=1000):
        self.asked += 1
        return [TableInfo(one, rows=3) for one in sorted(TABLES, key=str)][:limit]

    def schema(self, table):
        self.asked += 1
        if table not in TABLES:
            raise UnknownTable(str(table), [str(one) for one in TABLES])
        return TABLES[table]

    def close(self):
        self.closed = True
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("toy", schemes=("toy",))`; `source=` is another text of the module."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules = []

    def put(
        name: str,
        *,
        package: str = "",
        schemes: tuple[str, ...] = (),
        suffixes: tuple[str, ...] = (),
        folders: bool = False,
        source: str = TOY,
    ) -> None:
        module = f"third_party_{package or name}"
        modules.append(module)
        text = source.format(name=name, module=module, schemes=schemes, suffixes=suffixes, folders=folders)
        (site / f"{module}.py").write_text(textwrap.dedent(text))
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[workbench.connectors]\n{name} = {module}:MANIFEST\n")
        connectors.refresh()

    yield put
    for module in modules:
        sys.modules.pop(module, None)
    monkeypatch.undo()
    connectors.refresh()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, on a machine without a keyring."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setattr("keyring.core._keyring_backend", None)
    return tmp_path / "home"


@pytest.fixture
def toy(install: Install) -> None:
    install("toy", schemes=("toy",), suffixes=(".toy", ".toy.zz"), folders=False)


@pytest.fixture
def no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """No question leaves the machine: no name can be resolved."""

    def unknown(host: str, *_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


@pytest.fixture
def catalog(home: Path, toy: None, no_name_server: None) -> Iterator[Catalog]:
    """With the connector `toy`; whoever is asked for a password says `typed at the prompt`."""
    made = Catalog(ask=lambda question: Secret("typed at the prompt"))
    yield made
    made.close()
