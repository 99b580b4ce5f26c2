"""The whole suite on real wire servers, as far as each goes (its `gaps` are beside the fixture)."""

from __future__ import annotations

import pytest

from tests.connectors.mongodb.store import FerretStore, MongoStore
from tests.services.mongodb.server import FerretDB, MongoJava
from workbench.testing.conformance import ConformanceSuite


class TestMongoJava(ConformanceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, mongodb: MongoJava) -> MongoStore:
        return MongoStore(mongodb)


class TestFerretDB(ConformanceSuite):
    @pytest.fixture(autouse=True)
    @classmethod
    def what_it_lacks(cls, request: pytest.FixtureRequest) -> None:
        if reason := FerretDB.untested.get(request.node.originalname):
            pytest.skip(reason)

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, ferretdb: FerretDB) -> FerretStore:
        return FerretStore(ferretdb)
