"""The manifest, the catalog, and loud refusals."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pyarrow as pa
import pytest

from workbench.catalog.icons import fault
from workbench.contract import Capabilities, Connector, ScanRequest, ServerInfo, TableRef
from workbench.contract.errors import UnknownTable, Unsupported
from workbench.testing.scanning import assert_no_secret, tables_of
from workbench.testing.store import Store
from workbench.testing.suite_base import SuiteBase, need

__all__ = ["CatalogPromises"]

_PREDICATES = {"compare", "in", "is_null", "and", "or", "not"}
_LOADS = """
import pickle, sys
before = set(sys.modules)
pickle.loads(sys.stdin.buffer.read())
heavy = {"pyarrow", "numpy", "duckdb", "polars", "pandas", "plotly", "sqlglot", "pymysql", "pymongo", "bson",
         "cryptography"}
print(",".join(sorted((set(sys.modules) - before) & heavy)), end="")
"""


class CatalogPromises(SuiteBase):
    # --- the manifest

    def test_the_manifest_is_plain_and_can_be_sent_to_another_process(self, store: Store) -> None:
        assert pickle.loads(pickle.dumps(store.manifest)) == store.manifest
        assert store.manifest.name
        assert store.manifest.label

    def test_reading_the_manifest_loads_no_driver(self, store: Store) -> None:
        done = subprocess.run(
            [sys.executable, "-c", _LOADS],
            input=pickle.dumps(store.manifest),
            env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert done.stdout == b""

    def test_its_parameters_are_a_closed_schema(self, store: Store) -> None:
        for schema in (store.manifest.parameters, store.manifest.table_parameters):
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
            assert schema["additionalProperties"] is False
            for name, about in schema.get("properties", {}).items():
                assert about.get("type") or about.get("enum"), f"`{name}` does not say what it may be"

    def test_a_connection_fits_them_and_keeps_its_secrets_apart(self, store: Store) -> None:
        config, properties = store.config(), store.manifest.parameters.get("properties", {})
        jsonschema.validate(_plain(config.parameters), _plain(store.manifest.parameters))
        secret = {name for name, about in properties.items() if about.get("secret")}
        assert set(config.secrets) <= secret
        assert not secret & set(config.parameters)

    def test_its_picture_is_one_that_may_be_shown(self, store: Store) -> None:
        assert not store.manifest.icon or not fault(store.manifest.icon), fault(store.manifest.icon)

    def test_it_declares_nothing_that_has_no_meaning(self, can: Capabilities) -> None:
        assert can.predicates <= _PREDICATES
        assert can.writes <= {"insert", "upsert"}
        assert can.tables or not (can.predicates or can.splits or can.native)
        assert can.sinks == bool(can.writes)

    def test_a_facet_is_there_exactly_when_it_is_declared(self, connector: Connector, can: Capabilities) -> None:
        assert (connector.tables is not None) == can.tables
        assert (connector.feeds is not None) == can.feeds
        assert (connector.sinks is not None) == can.sinks

    # --- the connection

    def test_the_source_says_who_it_is(self, connector: Connector) -> None:
        info = connector.test()
        assert isinstance(info, ServerInfo)
        assert info.product
        assert info.version

    def test_making_a_connector_connects_to_nothing_and_closing_is_repeatable(self, store: Store) -> None:
        connector = store.manifest.open(store.config())
        connector.close()
        connector.close()

    def test_native_text_is_refused_where_it_is_not_declared(self, connector: Connector, can: Capabilities) -> None:
        if can.native or not can.tables:
            pytest.skip("native text is declared, or there are no tables")
        with pytest.raises(Unsupported):
            tables_of(connector).native("select 1")

    def test_cancel_is_refused_where_it_is_not_declared(self, connector: Connector, can: Capabilities) -> None:
        if can.cancel:
            pytest.skip("cancel is declared")
        with pytest.raises(Unsupported):
            connector.cancel("wb-000000000000-1")

    # --- the catalog

    @pytest.fixture(scope="class")
    @classmethod
    def listed(cls, store: Store, can: Capabilities) -> Iterator[list[TableRef]]:
        need(can.tables, "tables")
        refs = [
            store.load(f"wbt_list_{name}", pa.table({"id": [1]})) for name in ("apple", "banana", "cherry", "damson")
        ]
        yield refs
        for ref in refs:
            store.drop(ref)

    def test_a_pattern_finds_tables_by_name_whatever_the_case(
        self, connector: Connector, listed: list[TableRef]
    ) -> None:
        tables = tables_of(connector)
        assert [info.table for info in tables.list("wbt_list_%")] == sorted(listed, key=str)
        assert [info.table for info in tables.list("WBT_LIST_B%")] == [listed[1]]
        assert [info.table for info in tables.list("wbt_list_______")] == [listed[1], listed[2], listed[3]]
        assert tables.list("wbt_nothing_like_it%") == [] or not tables.list("wbt_nothing_like_it%")
        assert {*listed} <= {info.table for info in tables.list()}

    def test_pages_follow_each_other(self, connector: Connector, listed: list[TableRef]) -> None:
        tables, seen, after = tables_of(connector), [], None
        for _ in range(10):
            page = tables.list("wbt_list_%", after, 3)
            assert len(page) <= 3
            if not page:
                break
            seen += [info.table for info in page]
            after = str(page[-1].table)
        assert seen == sorted(listed, key=str)

    def test_the_names_of_all_tables_are_those_of_the_list(
        self, connector: Connector, listed: list[TableRef], can: Capabilities
    ) -> None:
        need(can.listing, "listing")
        tables: Any = tables_of(connector)
        names = list(tables.names(100_000))
        assert names == [info.table for info in tables.list(limit=100_000)]
        assert names == sorted(names, key=str)
        assert {*listed} <= {*names}
        assert list(tables.names(2)) == names[:2]

    def test_more_is_said_of_the_tables_that_are_asked_for(
        self, connector: Connector, listed: list[TableRef], can: Capabilities
    ) -> None:
        need(can.listing, "listing")
        tables: Any = tables_of(connector)
        gone = TableRef("wbt_not_there", listed[0].schema)
        asked = [listed[2], gone, listed[0], listed[3]]
        infos = {info.table: info for info in tables.list("wbt_list_%")}
        assert list(tables.about(asked)) == [infos[ref] for ref in asked if ref != gone]
        assert list(tables.about([])) == []

    def test_a_table_that_is_listed_can_be_planned(
        self, connector: Connector, listed: list[TableRef], can: Capabilities
    ) -> None:
        for info in tables_of(connector).list("wbt_list_%"):
            assert info.rows is None or info.rows >= 0
            assert info.kind
            assert can.schemas or info.table.schema is None
            assert tables_of(connector).plan(ScanRequest(info.table, ("id",))).schema.names == ["id"]

    def test_an_unknown_table_is_an_error_with_near_names(self, connector: Connector, listed: list[TableRef]) -> None:
        wrong = TableRef("wbt_list_aple", listed[0].schema)
        for ask in (tables_of(connector).schema, lambda ref: tables_of(connector).plan(ScanRequest(ref, ()))):
            with pytest.raises(UnknownTable) as caught:
                ask(wrong)
            assert any("wbt_list_apple" in name for name in caught.value.near), caught.value.near
            assert pickle.loads(pickle.dumps(caught.value)).near == caught.value.near

    def test_awkward_names_are_names(self, store: Store, connector: Connector, can: Capabilities) -> None:
        need(can.tables, "tables")
        columns = {name: [index] for index, name in enumerate(store.names())}
        for name in store.names():
            ref = store.load(name, pa.table(columns))
            try:
                tables = tables_of(connector)
                assert tables.schema(ref).names == list(columns), name
                assert ref in [info.table for info in tables.list()], name
                plan = tables.plan(ScanRequest(ref, tuple(reversed(columns))))
                assert plan.schema.names == list(reversed(columns))
            finally:
                store.drop(ref)

    def test_a_schema_is_stable_and_says_what_the_types_are_at_the_source(
        self, store: Store, connector: Connector, listed: list[TableRef]
    ) -> None:
        first = tables_of(connector).schema(listed[0])
        other = store.manifest.open(store.config())
        try:
            assert tables_of(other).schema(listed[0]).equals(first, check_metadata=True)
        finally:
            other.close()
        for column in first:
            assert (column.metadata or {}).get(b"source_type"), f"`{column.name}` does not say its source_type"
            assert (column.metadata or {}).get(b"key", b"primary") == b"primary"

    def test_a_plan_and_an_error_hold_no_secret(
        self, store: Store, connector: Connector, listed: list[TableRef]
    ) -> None:
        assert_no_secret(
            store.config(), tables_of(connector).plan(ScanRequest(listed[0], ("id",))), store.config().name
        )
        with pytest.raises(UnknownTable) as caught:
            tables_of(connector).schema(TableRef("wbt_not_there"))
        assert_no_secret(store.config(), caught.value)
        assert all(secret.reveal() not in repr(store.config()) for secret in store.config().secrets.values())


def _plain(value: Any) -> Any:
    """Mappings and tuples as the JSON types that a validator knows."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (tuple, list)) else value
