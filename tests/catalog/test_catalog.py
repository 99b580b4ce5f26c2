"""Connections: saved, opened, resolved."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from tests.catalog.conftest import Install
from workbench.catalog import Catalog, Connection, Connections, connectors, places
from workbench.contract import TableRef
from workbench.contract.errors import (
    DocumentError,
    InvalidParameter,
    QueryFailed,
    UnknownConnection,
    UnknownConnector,
    UnknownTable,
    Unsupported,
    UrlRefused,
)


@pytest.fixture
def shop(catalog: Catalog) -> Catalog:
    catalog.connect("shop", "toy://u@h/d")
    return catalog


def test_round_trip(shop: Catalog) -> None:
    saved = shop.connect("shop2", "toy://u@h/d?tls=off", writable=True, tables={"x": {"format": "y"}})
    other = Catalog(shop.home)
    assert other.names() == ["shop", "shop2"]
    assert other.saved("shop2").parameters == saved.parameters
    assert other.config("shop2").writable is True
    assert other.config("shop2").tables == {"x": {"format": "y"}}
    assert other.manifest("shop2").label == "Toy"
    other.remove("shop2")
    assert shop.names() == ["shop"]
    with pytest.raises(UnknownConnection, match="Did you mean `shop`"):
        shop.saved("shpo")


@pytest.mark.parametrize(
    "name",
    ["", "1a", "a-b", "a.b", "a b", "é", "a" * 64, "main", "TEMP", "pg_catalog", 'a"b', "a\n", "information_schema"],
)
def test_names(catalog: Catalog, name: str) -> None:
    with pytest.raises(InvalidParameter):
        catalog.connect(name, "toy://u@h/d")


def test_names_differ_in_more_than_case(shop: Catalog) -> None:
    with pytest.raises(InvalidParameter, match="case"):
        shop.connect("Shop", "toy://u@h/d")
    assert shop.saved("SHOP").name == "shop"


def test_open_is_shared_and_follows_what_is_saved(shop: Catalog) -> None:
    first = shop.open("shop")
    assert shop.open("shop") is first
    Catalog(shop.home, ask=shop._ask).connect("shop", "toy://other@h/d")
    second = shop.open("shop")
    assert second is not first
    assert first.closed  # type: ignore[attr-defined]
    shop.close()
    shop.close()
    assert second.closed  # type: ignore[attr-defined]
    assert shop.open("shop") is not second


def test_open_from_many_threads(shop: Catalog) -> None:
    barrier, found = threading.Barrier(8), []

    def run() -> None:
        barrier.wait()
        found.append(shop.open("shop"))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    opened = type(found[0]).opened
    assert [one.closed for one in opened if one is not found[0]] == [True] * (len(opened) - 1)


@pytest.mark.parametrize(
    ("parts", "table"),
    [
        (("shop", "Orders"), TableRef("Orders")),
        (("shop", "orders"), TableRef("Orders")),
        (("SHOP", "ORDERS"), TableRef("Orders")),
        (("shop", "items"), TableRef("items")),
        (("shop", "old", "items"), TableRef("items", "old")),
        (("shop", "OLD", "Log"), TableRef("log", "old")),
    ],
)
def test_resolve(shop: Catalog, parts: tuple[str, ...], table: TableRef) -> None:
    assert shop.resolve(parts) == ("shop", table)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("shop", "ordrs"), "Did you mean `shop.Orders`"),
        (("shop", "log"), "Did you mean `shop.old.log`"),
        (("shop", "old", "itms"), "`shop.old.items`"),
        (("shop",), "`shop` is a connection"),
        (("x",), "connection.table"),
        (("a", "b", "c", "d"), "connection.schema.table"),
    ],
)
def test_unknown_tables_have_near_names(shop: Catalog, parts: tuple[str, ...], said: str) -> None:
    with pytest.raises(UnknownTable) as caught:
        shop.resolve(parts)
    assert said in str(caught.value)
    assert f"`{'.'.join(parts)}`" in str(caught.value)


def test_unknown_connections_have_near_names(shop: Catalog) -> None:
    with pytest.raises(UnknownConnection, match="Did you mean `shop`"):
        shop.resolve(("shp", "orders"))
    with pytest.raises(UnknownConnection, match="connect\\(\\)"):
        Catalog(shop.home / "none").resolve(("shp", "orders"))


def test_near_names_are_waited_for_only_so_long(shop: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    connector = shop.open("shop")
    monkeypatch.setattr(type(connector), "list", lambda self, *_: gate.wait() and [])
    monkeypatch.setattr("workbench.catalog.resolving._PATIENCE", 0.1)
    with pytest.raises(UnknownTable, match=r"`shop\.ordrs`"):
        shop.resolve(("shop", "ordrs"))
    gate.set()


def test_schemas_are_cached_for_a_minute(catalog: Catalog) -> None:
    now = [0.0]
    catalog._cache._clock = lambda: now[0]
    catalog.connect("shop", "toy://u@h/d")
    connector = catalog.open("shop")
    for _ in range(3):
        assert catalog.schema("shop", TableRef("items")) == pa.schema([("id", pa.int64())])
        assert len(catalog.tables("shop")) == 4
    assert connector.asked == 2  # type: ignore[attr-defined]
    now[0] = 61
    catalog.schema("shop", TableRef("items"))
    assert connector.asked == 3  # type: ignore[attr-defined]
    catalog.refresh("other")
    catalog.schema("shop", TableRef("items"))
    assert connector.asked == 3  # type: ignore[attr-defined]
    catalog.refresh("shop")
    catalog.schema("shop", TableRef("items"))
    assert connector.asked == 4  # type: ignore[attr-defined]
    for number in range(2000):
        catalog.tables("shop", f"x{number}")
    assert len(catalog._cache._values) <= 512


def test_errors_of_a_source_carry_the_connection(catalog: Catalog) -> None:
    catalog.connect("shop", "toy://u@h/broken")
    with pytest.raises(QueryFailed, match="shop: it is broken"):
        catalog.test("shop")


def test_paths(catalog: Catalog, install: Install, tmp_path: Path) -> None:
    install("folders", folders=True, suffixes=(".zz",))
    file = tmp_path / "a.toy"
    file.write_bytes(b"")
    saved = catalog.connect("file", path=file)
    assert (saved.connector, saved.parameters) == ("toy", {"path": str(file)})
    assert catalog.connect("folder", path=str(tmp_path), connector="folders").connector == "folders"
    assert catalog.connect("long", path=tmp_path / "b.TOY.zz").connector == "toy", "the longest suffix; not there yet"
    assert catalog.connect("short", path=tmp_path / "b.zz").connector == "folders"
    assert catalog.connect("pattern", path=tmp_path / "*" / "*.toy").connector == "toy"
    with pytest.raises(UrlRefused, match=r"\.toy"):
        catalog.connect("x", path=tmp_path / "a.exe")
    with pytest.raises(InvalidParameter, match="not there"):
        catalog.connect("x", path=tmp_path / "no" / "such" / "a.toy")
    for path in ("file:///etc/passwd", "a\0.toy", "http://h/x.toy"):
        with pytest.raises(InvalidParameter, match="on this machine"):
            catalog.connect("x", path=path)
    with pytest.raises(InvalidParameter, match="exclude"):
        catalog.connect("x", "toy://h/d", path=file)
    with pytest.raises(InvalidParameter, match="is missing"):
        catalog.connect("x")


def test_two_connectors_of_one_scheme(catalog: Catalog, install: Install) -> None:
    install("twin", schemes=("toy", "twin"))
    with pytest.raises(UrlRefused, match=r"third_party_toy.*third_party_twin.*both claim"):
        catalog.connect("x", "toy://h/d")
    assert catalog.connect("x", "toy://h/d", connector="twin").connector == "twin"
    assert catalog.connect("y", "twin://h/d").connector == "twin"
    assert len([one for one in connectors.problems() if "also claimed" in one.why]) == 2


def test_two_packages_of_one_name(catalog: Catalog, install: Install) -> None:
    install("toy", package="impostor", schemes=("toy",))
    with pytest.raises(Unsupported, match="several packages"):
        catalog.connect("x", connector="toy")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("raise ImportError('no driver')", "ImportError: no driver"),
        ("raise SystemError('{name}')", "SystemError"),
        ("MANIFEST = 7", "is not a Manifest"),
        ("x = 1", "AttributeError"),
        ("def (", "SyntaxError"),
    ],
)
def test_a_broken_connector_harms_no_other(catalog: Catalog, install: Install, source: str, why: str) -> None:
    install("broken", source=source)
    assert "toy" in connectors.manifests()
    assert "broken" not in connectors.manifests()
    (problem,) = [one for one in connectors.problems() if one.name == "broken"]
    assert why in problem.why
    assert "third_party_broken" in str(problem)
    catalog.connect("fine", "toy://u@h/d")
    with pytest.raises(Unsupported, match="third_party_broken"):
        catalog.connect("x", connector="broken")
    with pytest.raises(UnknownConnector, match="broken"):
        catalog.connect("x", connector="brokn")


def test_a_saved_connection_loads_its_own_connector_only(shop: Catalog, install: Install) -> None:
    install("noisy", source="raise ImportError")
    shop.open("shop")
    assert connectors._loaded.cache_info().currsize == 1


def test_a_document_that_was_tampered_with(shop: Catalog) -> None:
    body = shop.saved("shop").body()
    shop.store.save("connections", "shop", {**body, "parameters": {**body["parameters"], "init_command": "x"}})
    with pytest.raises(InvalidParameter, match="init_command"):
        shop.open("shop")
    shop.store.save("connections", "shop", {**body, "parameters": {**body["parameters"], "host": "169.254.169.254"}})
    with pytest.raises(UrlRefused):
        shop.open("shop")
    shop.store.save("connections", "shop", {"connector": "toy"})
    with pytest.raises(DocumentError, match="connect again"):
        shop.open("shop")
    (shop.home / "documents" / "connections" / "shop.json").write_text("{")
    assert "damaged" in repr(Connections(shop))
    with pytest.raises(DocumentError):
        shop.saved("shop")
    shop.connect("shop", "toy://u@h/d")
    assert shop.open("shop")


def test_connection_objects(shop: Catalog) -> None:
    one = Connection(shop, "shop")
    assert one.tables().names() == ["Orders", "items", "old.items", "old.log"]
    assert "old.items" in repr(one.tables())
    assert one.schema("orders").names == ["id"]
    assert one.schema("old.items").field("id").type == pa.int32()
    assert one.test().product == "Toy"
    one.refresh()
    assert repr(one).startswith("shop: toy, u@h/d, read-only")
    assert Connections(shop)["shop"].name == "shop"
    assert len(Connections(shop)) == 1
    with pytest.raises(UnknownConnection, match="Did you mean"):
        Connections(shop)["shpo"]
    one.remove()
    assert "no connections yet" in repr(Connections(shop))
    with pytest.raises(UnknownConnection):
        repr(one)


def test_html_is_escaped(catalog: Catalog) -> None:
    catalog.connect("shop", "toy://%3Cimg%20src=x%20onerror=alert(1)%3E@h/%3Cscript%3E")
    shown = Connections(catalog)._repr_html_()
    assert "<img" not in shown
    assert "<script" not in shown
    assert "&lt;img" in shown


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "a" / "b"))
    assert places.home() == tmp_path / "a" / "b"
    assert stat.S_IMODE(places.home().stat().st_mode) == 0o700
    monkeypatch.delenv("WORKBENCH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.home().is_relative_to(tmp_path)
