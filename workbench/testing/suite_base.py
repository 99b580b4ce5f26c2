"""What all parts of the conformance suite use."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa
import pytest

from workbench.contract import Capabilities, Connector, TableRef
from workbench.testing.store import Store

__all__ = ["SuiteBase", "need", "numbers"]


class SuiteBase:
    """Fixtures; a subclass gives `store`."""

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls) -> Store:
        raise NotImplementedError("a subclass of ConformanceSuite has a fixture `store` of scope `class`")

    @pytest.fixture(scope="class")
    @classmethod
    def connector(cls, store: Store) -> Iterator[Connector]:
        """One connection, read-only, for the tests that leave it usable."""
        connector = store.manifest.open(store.config())
        yield connector
        connector.close()

    @pytest.fixture(scope="class")
    @classmethod
    def can(cls, store: Store) -> Capabilities:
        return store.manifest.capabilities

    @pytest.fixture(scope="class")
    @classmethod
    def deep(cls, request: pytest.FixtureRequest) -> bool:
        """Whether to take the time for more: `--deep`, or `WORKBENCH_DEEP=1`."""
        asked = os.environ.get("WORKBENCH_DEEP") or "0"
        return bool(request.config.getoption("deep", default=False)) or asked != "0"

    @pytest.fixture(scope="class")
    @classmethod
    def many(cls, store: Store, can: Capabilities) -> Iterator[tuple[TableRef, pa.Table]]:
        """A keyed table that is large enough for several splits, with keys at both ends of their type."""
        if not can.tables:
            pytest.skip("no tables are declared")
        rows = numbers(store.many())
        ref = store.load("wbt_many", rows, ("id",))
        yield ref, rows
        store.drop(ref)


def need(declared: object, what: str) -> None:
    """Skips a test of something that is not declared; its refusal has a test of its own."""
    if not declared:
        pytest.skip(f"{what} is not declared")


def numbers(count: int) -> pa.Table:
    """`id`: most lie close together, a few at the ends of 64 bits. `v`: every seventh is NULL. `t`: text."""
    ids = [-(2**63), -(2**63) + 1, *range(count - 4), 2**63 - 2, 2**63 - 1]
    schema = pa.schema(
        [pa.field("id", pa.int64(), nullable=False), pa.field("v", pa.int64()), pa.field("t", pa.string())]
    )
    values = [None if index % 7 == 0 else index * 3 for index in range(count)]
    texts = [f"row {index} of many" for index in range(count)]
    return pa.table([ids, values, texts], schema=schema)
