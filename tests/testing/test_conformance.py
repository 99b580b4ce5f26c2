"""The kit's own connectors keep every promise: in memory, over a wire, and the hostile one while it behaves."""

from collections.abc import Iterator
from typing import ClassVar

import pytest

from tests.testing.wire import WireStore
from workbench.testing import hostile
from workbench.testing.conformance import ConformanceSuite
from workbench.testing.memory_store import MemoryStore
from workbench.testing.suite_catalog import CatalogPromises
from workbench.testing.suite_readers import ReaderPromises
from workbench.testing.suite_rows import RowPromises
from workbench.testing.suite_splits import SplitPromises


class TestMemory(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
        return MemoryStore(tmp_path_factory.mktemp("memory"))


class TestWire(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireStore]:
        store = WireStore(tmp_path_factory.mktemp("wire"))
        yield store
        store.server.close()


class HostileStore(MemoryStore):
    """Its names are the worst ones, and every scan of many rows begins with a hundred empty batches."""

    NAMES: ClassVar = hostile.NAMES

    def names(self) -> tuple[str, ...]:
        return self.NAMES


class TestHostile(CatalogPromises, RowPromises, SplitPromises, ReaderPromises):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> HostileStore:
        store = HostileStore(tmp_path_factory.mktemp("hostile"), hostile.MANIFEST)
        store.table_parameters["wbt_many"] = {"fault": "empty_batches", "splits": 3}
        return store
