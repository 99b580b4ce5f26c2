"""The whole suite on a real HBase, by each route."""

from __future__ import annotations

import pytest

from tests.connectors.hbase.store import HBaseStore
from tests.services.hbase.server import HBase
from workbench.testing.conformance import ConformanceSuite


class TestNative(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, hbase: HBase) -> HBaseStore:
        return HBaseStore(hbase)


class TestGateway(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, hbase: HBase) -> HBaseStore:
        return HBaseStore(hbase, route="gateway", gateway_port=hbase.gateway)
