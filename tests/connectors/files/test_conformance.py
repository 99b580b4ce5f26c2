from __future__ import annotations

import pytest

from tests.connectors.files.store import FilesStore
from workbench.testing.conformance import ConformanceSuite
from workbench.testing.suite_catalog import CatalogPromises
from workbench.testing.suite_predicates import PredicatePromises
from workbench.testing.suite_readers import ReaderPromises
from workbench.testing.suite_rows import RowPromises
from workbench.testing.suite_splits import SplitPromises


class TestParquet(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> FilesStore:
        return FilesStore(tmp_path_factory.mktemp("lake 🦆's"))


class TestArrow(CatalogPromises, RowPromises, PredicatePromises, SplitPromises, ReaderPromises):
    """What is read; what is written is Parquet, whose promises are held above."""

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> FilesStore:
        return FilesStore(tmp_path_factory.mktemp("arrow"), "arrow")
