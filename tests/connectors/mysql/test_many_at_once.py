"""Many statements at once on a server that lets a user open but a few connections: all of them come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.mysql.server import Server
from workbench.catalog import Catalog
from workbench.contract.errors import SourceFull
from workbench.query.session import Session
from workbench.runs import Register

ALLOWED = 4
STATEMENTS = 24


@pytest.fixture
def session(mariadb: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    password = mariadb.password.replace("\\", "\\\\").replace("'", "''")
    mariadb.execute(
        "drop table if exists few",
        "create table few (id int primary key, x int)",
        "insert into few select seq, seq % 7 from seq_1_to_20000",
        f"create or replace user few identified by '{password}' with max_user_connections {ALLOWED}",
        "grant select on shop.* to few",
    )
    monkeypatch.setenv("FEW", mariadb.password)
    catalog, register = Catalog(tmp_path), Register(tmp_path / "runs.db")
    catalog.connect("bounded", mariadb.url("few"), secret="env:FEW", parameters={"connections": ALLOWED})
    catalog.connect("greedy", mariadb.url("few"), secret="env:FEW")
    session = Session(catalog, register)
    yield session
    session.close()
    catalog.close()
    register.close()
    mariadb.execute("drop table few", "drop user few")


def _all_at_once(session: Session, name: str) -> list[object]:
    texts = [
        f"select count(*), sum(x) from {name}.few where id > {{}}",
        f"select count(*), sum(p.x) from {name}.few p join {name}.few q using (id) where id > {{}}",
    ]
    found: list[object] = [None] * STATEMENTS

    def work(number: int) -> None:
        try:
            found[number] = session.sql(texts[number % 2].format(number)).polars().rows()
        except BaseException as error:  # noqa: BLE001
            found[number] = error

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(STATEMENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return found


WANTED = [[(20_000 - number, sum(one % 7 for one in range(number + 1, 20_001)))] for number in range(STATEMENTS)]


def test_all_come_where_the_bound_is_the_servers(session: Session, mariadb: Server) -> None:
    """No connection is refused, so none is even tried in vain."""
    refused = "show global status like 'Aborted_connects'"
    before = mariadb.execute(refused)[0][1]
    assert _all_at_once(session, "bounded") == WANTED
    assert mariadb.execute(refused)[0][1] == before


def test_all_come_where_the_server_allows_less_than_the_bound(session: Session) -> None:
    assert _all_at_once(session, "greedy") == WANTED


def test_a_server_that_stays_full_is_said_with_the_way_out(
    session: Session, mariadb: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.kit.slots.PATIENCE", 0.3)
    links = [mariadb.connection("few") for _ in range(ALLOWED)]
    for link in links:
        link.__enter__()
    try:
        with pytest.raises(
            SourceFull, match=r"greedy: .* takes no more connections: .*\[1226\].*smaller `connections`"
        ):
            session.sql("select * from greedy.few").polars()
    finally:
        for link in links:
            link.__exit__(None, None, None)
    assert len(session.sql("select * from greedy.few")) == 20_000
