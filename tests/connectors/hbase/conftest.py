"""Connectors to a real HBase, with the mappings that a test declares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.hbase.store import Tables, config
from tests.services.hbase.server import HBase
from workbench_hbase.connector import HBaseConnector


@pytest.fixture
def tables() -> Tables:
    """Mappings of the test's tables: put there by the test, read by its connectors."""
    return {}


@pytest.fixture(params=["native", "gateway"])
def connector(request: pytest.FixtureRequest, hbase: HBase, tables: Tables) -> Iterator[HBaseConnector]:
    """By each route."""
    connector = HBaseConnector(config(hbase, tables, route=request.param, gateway_port=hbase.gateway))
    yield connector
    connector.close()


@pytest.fixture
def native(hbase: HBase, tables: Tables) -> Iterator[HBaseConnector]:
    connector = HBaseConnector(config(hbase, tables))
    yield connector
    connector.close()
