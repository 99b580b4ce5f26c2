"""The suite on a real Kafka. It declares no predicates: what is filtered above it is not tried here again."""

from __future__ import annotations

import pytest

from tests.connectors.kafka.store import KafkaStore
from tests.services.kafka.server import Kafka
from workbench.testing import conformance  # noqa: F401 - the suite's assertions show their values
from workbench.testing.suite_catalog import CatalogPromises
from workbench.testing.suite_feeds import FeedPromises
from workbench.testing.suite_network import NetworkPromises
from workbench.testing.suite_readers import ReaderPromises
from workbench.testing.suite_rows import RowPromises
from workbench.testing.suite_sinks import SinkPromises
from workbench.testing.suite_splits import SplitPromises


class TestKafka(
    CatalogPromises, RowPromises, SplitPromises, ReaderPromises, NetworkPromises, SinkPromises, FeedPromises
):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, kafka: Kafka) -> KafkaStore:
        return KafkaStore(kafka)
