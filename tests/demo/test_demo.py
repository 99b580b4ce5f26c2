"""The demo shop: the same rows from the same seed, plausible, whole or not there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tests.services.mysql.server import Server
from workbench import demo
from workbench.catalog import Catalog, places
from workbench.contract import Secret, TableRef
from workbench.demo.live import Live, append
from workbench.demo.loading import KEYS, reader
from workbench.demo.making import folder_of, is_whole, make
from workbench.demo.shape import DAYS, FIRST_DAY, OUTAGE, Shape
from workbench.query.session import Session
from workbench.runs import Register

SMALL = Shape(scale=0.02)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def folder(base: Path) -> Path:
    return make(base, SMALL)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute(f"attach '{folder / 'shop.duckdb'}' as shop (read_only)")
        made.execute(f"create view events as from '{folder / 'web' / 'events' / '*.parquet'}'")
        made.execute("create view orders as from shop.orders")
        made.execute("create view customers as from shop.customers")
        made.execute("create view items as from shop.items")
        yield made


def value(engine: duckdb.DuckDBPyConnection, query: str) -> object:
    row = engine.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_sizes(engine: duckdb.DuckDBPyConnection, folder: Path) -> None:
    assert value(engine, "select count(*) from orders") == 6000
    assert value(engine, "select count(*) from customers") == 400
    assert value(engine, "select count(*) from items") == 1000
    assert 38_000 <= int(str(value(engine, "select count(*) from events"))) <= 42_000
    files = sorted(path.name for path in (folder / "web" / "events").iterdir())
    assert len(files) == DAYS
    assert files[0] == f"{FIRST_DAY}.parquet"
    all_files = f"read_parquet('{folder}/web/events/*.parquet', filename = true)"
    assert value(
        engine, f"select bool_and(ts::date::varchar || '.parquet' = parse_filename(filename)) from {all_files}"
    )


NONE_OF_THESE = {
    "purchases without their order": """select count(*) from events e anti join orders o on o.order_id = e.order_id
        and o.ordered_at = e.ts and o.customer_id = e.user_id and o.item_id = e.item_id and o.total = e.value
        where event_name = 'purchase'""",
    "orders twice bought": """select count(*) from (select order_id from events where order_id is not null
        group by 1 having count(*) > 1)""",
    "web orders of these days without an event": f"""select count(*) from orders anti join events using (order_id)
        where channel = 'web' and ordered_at >= '{FIRST_DAY}'""",
    "orders of nobody": "select count(*) from orders anti join customers using (customer_id)",
    "orders of nothing": "select count(*) from orders anti join items using (item_id)",
    "orders at another price": "select count(*) from orders join items using (item_id) where unit_price <> price",
    "orders before signing up": """select count(*) from orders join customers using (customer_id)
        where ordered_at < signed_up""",
    "events out of order": """select count(*) from (select ts < lag(ts) over (order by event_id) as back from events)
        where back""",
    "event ids twice": "select count(*) - count(distinct event_id) from events",
    "events of unknown items": "select count(*) from events anti join items using (item_id) where item_id is not null",
    "purchases without a log-in": "select count(*) from events where event_name = 'purchase' and user_id is null",
    "checkouts without a cart": """select count(*) from (select client_id, session_id from events group by all
        having bool_or(event_name = 'purchase') and not bool_or(event_name = 'begin_checkout')
            or bool_or(event_name = 'begin_checkout') and not bool_or(event_name = 'add_to_cart'))""",
    "sessions in the outage": f"""select count(*) from events where event_name = 'session_start'
        and ts >= timestamp '{FIRST_DAY}' + to_hours({OUTAGE[0] * 24 + OUTAGE[1]})
        and ts < timestamp '{FIRST_DAY}' + to_hours({OUTAGE[0] * 24 + OUTAGE[2] + 1})""",
}


@pytest.mark.parametrize("what", NONE_OF_THESE)
def test_there_are_no(engine: duckdb.DuckDBPyConnection, what: str) -> None:
    assert value(engine, NONE_OF_THESE[what]) == 0


SOME_OF_THESE = {
    "moments with several events": "select count(*) from (select ts from events group by 1 having count(*) > 1)",
    "visitors that are not logged in": "select count(*) from events where user_id is null",
    "visits over midnight": """select count(*) from (select client_id, session_id from events where user_id is not null
        group by all having min(ts::date) < max(ts::date))""",
    "pages that fired twice": """select count(*) from (select client_id, ts, page from events
        where event_name = 'page_view' group by all having count(*) > 1)""",
    "bots": """select count(*) from (select client_id from events group by 1, ts::date having count(*) > 90)""",
    "items without a brand": "select count(*) from items where brand is null",
    "customers without an address": "select count(*) from customers where email is null",
    "names beyond ASCII": "select count(*) from customers where name <> strip_accents(name)",
}


@pytest.mark.parametrize("what", SOME_OF_THESE)
def test_there_are_some(engine: duckdb.DuckDBPyConnection, what: str) -> None:
    assert int(str(value(engine, SOME_OF_THESE[what]))) > 0


def test_funnel_rhythm_and_trend(engine: duckdb.DuckDBPyConnection) -> None:
    steps = ["session_start", "view_item", "add_to_cart", "begin_checkout", "purchase"]
    funnel = [
        int(
            str(
                value(engine, f"select count(distinct (client_id, session_id)) from events where event_name = '{step}'")
            )
        )
        for step in steps
    ]
    assert funnel == sorted(funnel, reverse=True)
    assert 0.03 < funnel[-1] / funnel[0] < 0.06
    assert value(engine, "select avg(n) filter (isodow(d) > 5) > 1.1 * avg(n) filter (isodow(d) < 5) from "
                         "(select ts::date d, count(*) n from events group by 1)")  # fmt: skip
    assert value(engine, "select count(*) filter (hour(ts) = 20) > 4 * count(*) filter (hour(ts) = 4) from events")
    assert value(engine, f"select count(*) filter (ts < '{FIRST_DAY}'::date + 28) * 1.08 "
                         f"< count(*) filter (ts >= '{FIRST_DAY}'::date + 62) from events")  # fmt: skip


def contents(folder: Path, tables: tuple[str, ...] = tuple(KEYS)) -> dict[str, pa.Table]:
    return {table: pa.Table.from_batches(reader(folder, table)[2]) for table in tables}


def test_the_same_seed_gives_the_same_rows(folder: Path, tmp_path: Path) -> None:
    assert contents(make(tmp_path, SMALL)) == contents(folder)
    other = contents(make(tmp_path, Shape(scale=0.02, seed=8)))
    assert other["orders"] != contents(folder)["orders"]


def test_a_half_made_one_is_made_anew(folder: Path, tmp_path: Path) -> None:
    made = make(tmp_path, SMALL)
    assert made == folder_of(tmp_path, SMALL)
    stamp = (made / "made.json").stat().st_mtime_ns
    assert make(tmp_path, SMALL) == made
    assert (made / "made.json").stat().st_mtime_ns == stamp, "a whole one is left alone"
    day = next((made / "web" / "events").iterdir())
    day.write_bytes(day.read_bytes()[:-1])
    assert not is_whole(made)
    make(tmp_path, SMALL)
    assert is_whole(made)
    (made / "made.json").unlink()
    make(tmp_path, SMALL)
    assert is_whole(made)
    assert [path.name for path in tmp_path.iterdir()] == [made.name], "nothing half-made is left"


def test_several_at_once_make_one(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            make(tmp_path, SMALL)
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [path.name for path in tmp_path.iterdir()] == [folder_of(tmp_path, SMALL).name]


def test_ensure_connects_it_once(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    seen: list[tuple[str, float]] = []
    made = demo.ensure(catalog, SMALL, lambda what, fraction: seen.append((what, fraction)))
    assert made.connections == ("shop", "web")
    assert catalog.names() == ["shop", "web"]
    assert catalog.saved("web").parameters["path"] == str(made.folder / "web")
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    seen.clear()
    assert demo.ensure(catalog, SMALL, lambda what, fraction: seen.append((what, fraction))) == made
    assert not seen


def test_names_of_the_user_are_left_alone(tmp_path: Path, folder: Path) -> None:
    catalog = Catalog(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    catalog.connect("web", path=mine)
    made = demo.ensure(catalog, SMALL)
    assert made.connections == ("shop",)
    assert "`web` is a connection of yours" in made.notes[0]
    assert catalog.saved("web").parameters["path"] == str(mine)


def test_the_same_rows_in_another_store(folder: Path, tmp_path: Path) -> None:
    from workbench.testing.memory import MANIFEST, MemorySource, source_config

    source = MemorySource()
    connector = MANIFEST.open(source_config(source, writable=True))
    counts = demo.load_into(connector, folder)
    for table, rows in contents(folder).items():
        assert counts[table] == rows.num_rows
        assert connector.tables is not None
        assert connector.tables.schema(TableRef(table)).names == rows.schema.names
    connector.close()


def test_the_same_rows_in_a_server(folder: Path, tmp_path: Path, mariadb: Server) -> None:
    """As `make services` loads them; read back through SQL over both stores at once."""
    catalog = Catalog(tmp_path)
    catalog.connect("server", mariadb.url("writer"), secret=Secret(mariadb.password), writable=True)
    catalog.connect("shop", path=folder / "shop.duckdb")
    catalog.connect("web", path=folder / "web")
    counts = demo.load_into(catalog.open("server"), folder)
    session = Session(catalog, Register(places.register(catalog.home)))
    try:
        for table, rows in counts.items():
            own = f"web.{table}" if table == "events" else f"shop.{table}"
            (differ,) = session.sql(
                f"select count(*) as n from (from server.{table} except from {own}) "
                f"union all select count(*) from (from {own} except from server.{table})"
            ).arrow()
            assert differ.to_pylist() == [0, 0], table
            assert session.sql(f"select count(*) as n from server.{table}").arrow()["n"].to_pylist() == [rows]
    finally:
        session.close()
        catalog.close()
        mariadb.execute(*(f"drop table shop.{table}" for table in counts))


def test_live_events(tmp_path: Path) -> None:
    now = [1_780_000_000.0]

    def wait(seconds: float) -> bool:
        now[0] += max(seconds, 0.001)
        return False

    path = tmp_path / "live" / "clicks.jsonl"
    for limit in (5000, 200):
        *_, done = append(path, Live(now[0], rate=50), clock=lambda: now[0], wait=wait, limit=limit)
        assert done == limit
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(events) == 5200
    assert {event["event_name"] for event in events} >= {"session_start", "page_view", "view_item", "add_to_cart"}
    first = [event["ts"] for event in events[:5000]]
    assert first == sorted(first)
    assert tuple(events[0]) == demo_columns()
    assert 90 < now[0] - 1_780_000_000.0 < 120, "about fifty a second"
    one, two = Live(5.0, seed=3), Live(5.0, seed=3)
    assert [one.next() for _ in range(300)] == [two.next() for _ in range(300)]


def demo_columns() -> tuple[str, ...]:
    from workbench.demo.events import COLUMNS

    return COLUMNS


def test_columns_are_as_said(engine: duckdb.DuckDBPyConnection) -> None:
    assert tuple(row[0] for row in engine.execute("describe events").fetchall()) == demo_columns()


def test_everybody_has_the_same_rows(engine: duckdb.DuckDBPyConnection) -> None:
    """When this fails on purpose (other rows, or a DuckDB that hashes otherwise), let `shape.FORM` grow."""
    orders = engine.execute("select sum(total), sum(customer_id), sum(quantity) from orders").fetchall()
    assert [tuple(map(str, row)) for row in orders] == [("232332.22", "973792", "9097")]
    events = engine.execute("select count(*), sum(value), sum(epoch_us(ts) % 1000000) from events").fetchall()
    assert [tuple(map(str, row)) for row in events] == [("39733", "177396.01", "19863148588")]
