from __future__ import annotations

import pytest

from tests.connectors.files.store import FilesStore, LinesStore
from workbench.testing import conformance  # noqa: F401 - the suite's assertions show their values
from workbench.testing.suite_catalog import CatalogPromises
from workbench.testing.suite_feeds import FeedPromises
from workbench.testing.suite_network import NetworkPromises
from workbench.testing.suite_predicates import PredicatePromises
from workbench.testing.suite_readers import ReaderPromises
from workbench.testing.suite_rows import RowPromises
from workbench.testing.suite_sinks import SinkPromises
from workbench.testing.suite_splits import SplitPromises


class TestParquet(
    CatalogPromises, RowPromises, PredicatePromises, SplitPromises, ReaderPromises, NetworkPromises, SinkPromises
):
    """All but following: Parquet files appear whole."""

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


class TestLines(FeedPromises):
    """Following: a file of JSON lines."""

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> LinesStore:
        return LinesStore(tmp_path_factory.mktemp("logs 🦆"))
