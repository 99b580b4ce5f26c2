"""Events in a real database: its own kinds of time, its conditions, and the same numbers as from a frame."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest

from tests.services.mysql.server import Server
from workbench.catalog import Catalog
from workbench.contract.secret import Secret
from workbench.query.session import Session
from workbench.reports import Events, Overview
from workbench.runs import Register

START = 1_792_792_800_000  # 2026-10-24 00:00 in Berlin, the day before the clock goes back


@pytest.mark.parametrize("column", ["at_datetime", "at_timestamp", "at_seconds"])
def test_the_numbers_are_those_of_a_frame(mariadb: Server, tmp_path: Path, column: str) -> None:
    dice = random.Random(7)
    rows = [(dice.randint(1, 30), START + dice.randint(-5, 3 * 86_400) * 1000, dice.choice("ab")) for _ in range(2000)]
    values = ", ".join(f"({user}, {at}, '{page}')" for user, at, page in rows)
    mariadb.execute(
        "drop table if exists clicks",
        "create table clicks(user_id int, ms bigint, page varchar(20), "
        "at_datetime datetime(3), at_timestamp timestamp(3) null, at_seconds bigint)",
        f"insert into clicks(user_id, ms, page) values {values}",
        "set time_zone = '+00:00'",
        "update clicks set at_seconds = ms div 1000, "
        "at_datetime = timestamp'1970-01-01 00:00:00' + interval ms * 1000 microsecond",
        "update clicks set at_timestamp = at_datetime",
    )
    catalog, register = Catalog(tmp_path), Register(tmp_path / "runs.db")
    catalog.connect("site", mariadb.url(), secret=Secret(mariadb.password))
    session = Session(catalog, register)
    columns = zip(*rows, strict=True)
    frame = pa.table(dict(zip(("user_id", "at", "page"), map(list, columns), strict=True)))
    overview = Overview(period="2026-10-25", zone="Europe/Berlin", granularity="hour", definition="matomo")
    stored = overview.on(Events("site.clicks", user="user_id", time=column, page="page"), session=session)
    loose = overview.on(Events(frame, user="user_id", time="at", page="page"), session=session)
    assert stored.arrow().equals(loose.arrow())
    assert stored.arrow().to_pylist()[0]["events"] > 500
    (source,) = stored.results["current"].explain().sources
    assert f"`{column}` >=" in source.native_text
    session.close()
    register.close()
