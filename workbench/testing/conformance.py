"""One suite for every connector. It reads what the manifest declares, and holds the connector to it.

    class TestClickHouse(ConformanceSuite):
        @pytest.fixture(scope="class")
        @classmethod
        def store(cls, clickhouse):
            return ClickHouseStore(clickhouse)

What is not declared must refuse with `Unsupported`; what cannot be tried on a source (no wire to cut, nothing to log
in with) is skipped by name. `--deep` or `WORKBENCH_DEEP=1` takes minutes more. A failing random test prints the seed;
`WORKBENCH_SEED` repeats it.
"""

from __future__ import annotations

import sys

import pytest

_PARTS = ("catalog", "rows", "predicates", "reducing", "splits", "readers", "network", "sinks", "feeds")

for _name in ("suite_base", *(f"suite_{part}" for part in _PARTS), "scanning"):
    # So that a failed promise shows its values; a part that was imported before is shown without.
    if f"workbench.testing.{_name}" not in sys.modules:
        pytest.register_assert_rewrite(f"workbench.testing.{_name}")

from workbench.testing.store import Store  # noqa: E402
from workbench.testing.suite_catalog import CatalogPromises  # noqa: E402
from workbench.testing.suite_feeds import FeedPromises  # noqa: E402
from workbench.testing.suite_network import NetworkPromises  # noqa: E402
from workbench.testing.suite_predicates import PredicatePromises  # noqa: E402
from workbench.testing.suite_readers import ReaderPromises  # noqa: E402
from workbench.testing.suite_reducing import ReducingPromises  # noqa: E402
from workbench.testing.suite_rows import RowPromises  # noqa: E402
from workbench.testing.suite_sinks import SinkPromises  # noqa: E402
from workbench.testing.suite_splits import SplitPromises  # noqa: E402

__all__ = ["ConformanceSuite", "Store"]


class ConformanceSuite(
    CatalogPromises,
    RowPromises,
    PredicatePromises,
    ReducingPromises,
    SplitPromises,
    ReaderPromises,
    NetworkPromises,
    SinkPromises,
    FeedPromises,
):
    """All promises of the contract. Subclass it, give the fixture `store`, and name the class `Test…`."""
