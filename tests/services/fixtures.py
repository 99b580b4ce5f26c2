"""Real servers as pytest fixtures, one of each a session. One that cannot start is a failure, not a skip."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.hbase.server import HBase
from tests.services.hdfs.server import Hdfs
from tests.services.hive.server import Hive
from tests.services.kafka.server import Kafka
from tests.services.mongodb.server import FerretDB, MongoJava
from tests.services.mysql.server import MariaDB, MySQL9, Server
from tests.services.redis.server import Redis


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    with MariaDB() as server:
        yield server


@pytest.fixture(scope="session")
def mysql9() -> Iterator[Server]:
    with MySQL9() as server:
        yield server


@pytest.fixture(scope="session", params=["mariadb", "mysql9"])
def mysql_server(request: pytest.FixtureRequest) -> Server:
    """Each of the two in turn."""
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="session")
def mongodb() -> Iterator[MongoJava]:
    with MongoJava() as server:
        yield server


@pytest.fixture(scope="session")
def ferretdb() -> Iterator[FerretDB]:
    with FerretDB() as server:
        yield server


@pytest.fixture(scope="session")
def hbase() -> Iterator[HBase]:
    with HBase() as server:
        yield server


@pytest.fixture(scope="session")
def hdfs() -> Iterator[Hdfs]:
    with Hdfs() as server:
        yield server


@pytest.fixture(scope="session")
def hive() -> Iterator[Hive]:
    with Hive() as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    with Kafka() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    with Redis() as server:
        yield server
