from __future__ import annotations

import pytest

from tests.connectors.duckdb.store import DuckDBStore
from workbench.testing.conformance import ConformanceSuite


class TestDuckDB(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> DuckDBStore:
        return DuckDBStore(tmp_path_factory.mktemp("duck 🦆's") / "shop.duckdb")
