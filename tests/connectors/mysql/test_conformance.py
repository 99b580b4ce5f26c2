"""The whole suite on both servers, as they really are."""

from __future__ import annotations

import pytest

from tests.connectors.mysql.store import MySQLStore
from tests.services.mysql.server import Server
from workbench.testing.conformance import ConformanceSuite


class TestMariaDB(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, mariadb: Server) -> MySQLStore:
        return MySQLStore(mariadb)


class TestMySQL(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, mysql9: Server) -> MySQLStore:
        return MySQLStore(mysql9)
