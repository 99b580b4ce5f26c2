"""The suite on a real Redis. It declares no predicates: what is filtered above it is not tried here again."""

from __future__ import annotations

import pytest

from tests.connectors.redis.store import RedisStore
from tests.services.redis.server import Redis
from workbench.testing import conformance  # noqa: F401 - the suite's assertions show their values
from workbench.testing.suite_catalog import CatalogPromises
from workbench.testing.suite_feeds import FeedPromises
from workbench.testing.suite_network import NetworkPromises
from workbench.testing.suite_readers import ReaderPromises
from workbench.testing.suite_rows import RowPromises
from workbench.testing.suite_sinks import SinkPromises
from workbench.testing.suite_splits import SplitPromises


class TestRedis(
    CatalogPromises, RowPromises, SplitPromises, ReaderPromises, NetworkPromises, SinkPromises, FeedPromises
):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, redis_server: Redis) -> RedisStore:
        return RedisStore(redis_server)

    def test_a_table_without_a_key_and_full_of_nulls_is_whole(self) -> None:  # type: ignore[override]
        pytest.skip("an entry has at least one field, so no row has NULLs only")
