"""The whole suite on a real HiveServer2."""

from __future__ import annotations

import pytest

from tests.connectors.hive.store import HiveStore
from tests.services.hive.server import Hive
from workbench.testing.conformance import ConformanceSuite


class TestHive(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, hive: Hive) -> HiveStore:
        return HiveStore(hive)
