"""Users, passwords and TLS, on the wire server that has them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.connectors.mongodb.store import config
from tests.services.mongodb.server import FerretDB
from workbench.contract import ConnectionConfig, ScanRequest, Secret, TableRef
from workbench.contract.errors import AuthenticationFailed, SourceTimeout, Unreachable
from workbench.testing.control import RecordingControl
from workbench.testing.scanning import assert_no_secret
from workbench_mongodb.connector import MongoDBConnector


def over_tls(server: FerretDB, **parameters: Any) -> ConnectionConfig:
    return config(server, port=server.tls_port, **parameters)


@pytest.mark.parametrize("mechanism", [None, "SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_each_mechanism_logs_in_with_an_awkward_password(ferretdb: FerretDB, mechanism: str | None) -> None:
    given = {} if mechanism is None else {"auth_mechanism": mechanism}
    connector = MongoDBConnector(config(ferretdb, **given))
    assert connector.test().product == "MongoDB"
    connector.tables.list()
    connector.close()


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_wrong_password_or_user_is_told_by_the_user_s_name(ferretdb: FerretDB, user: str) -> None:
    usual = config(ferretdb, user=user)
    wrong = ConnectionConfig(usual.name, usual.parameters, {"password": Secret("wr0ng-k4n4ry")})
    connector = MongoDBConnector(wrong)
    for ask in (connector.test, connector.tables.list):
        with pytest.raises(AuthenticationFailed, match=f"`{user}`") as caught:
            ask()
        assert_no_secret(wrong, caught.value)
    connector.close()


def test_a_certificate_is_verified(ferretdb: FerretDB) -> None:
    connector = MongoDBConnector(over_tls(ferretdb, tls="verify"))
    with pytest.raises(Unreachable, match=r"(?i)certificate.verify.failed"):
        connector.test()
    connector.close()
    trusting = MongoDBConnector(over_tls(ferretdb, tls="verify", ca_file=str(ferretdb.certificate)))
    assert trusting.test().details["tls"] == "verify"
    trusting.close()


def test_any_certificate_does_where_that_is_asked_for(ferretdb: FerretDB) -> None:
    connector = MongoDBConnector(over_tls(ferretdb, tls="required"))
    connector.test()
    connector.close()


@pytest.mark.parametrize("tls", ["required", "verify"])
def test_a_server_without_tls_gets_no_password(ferretdb: FerretDB, tls: str) -> None:
    connector = MongoDBConnector(config(ferretdb, tls=tls))
    with pytest.raises(Unreachable):
        connector.test()
    connector.close()


def test_the_server_ends_a_statement_at_its_limit(ferretdb: FerretDB) -> None:
    with ferretdb.client() as client:
        client.shop.long.drop()
        client.shop.long.insert_many([{"_id": n, "t": "x" * 100} for n in range(20_000)])
    connector = MongoDBConnector(config(ferretdb))
    try:
        plan = connector.tables.plan(ScanRequest(TableRef("long"), ("_id", "t")))
        reader = connector.tables.read(plan.splits[0], RecordingControl("wb-limit-1", guard=0.2))
        with pytest.raises(SourceTimeout, match=r"0\.2"):
            list(reader)
        reader.close()
    finally:
        connector.close()
        with ferretdb.client() as client:
            client.shop.long.drop()
