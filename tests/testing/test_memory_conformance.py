"""The in-memory connector keeps every promise."""

import pytest

from workbench.testing.conformance import ConformanceSuite
from workbench.testing.memory_store import MemoryStore


class TestMemory(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
        return MemoryStore(tmp_path_factory.mktemp("memory"))
