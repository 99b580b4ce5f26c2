"""Views of a shared result: the rows that Python would find, whatever is asked, and never more than allowed."""

from __future__ import annotations

import datetime
import os
import signal
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from workbench.contract.errors import (
    Cancelled,
    DocumentError,
    InvalidParameter,
    LimitExceeded,
    UnknownColumn,
    UnknownResult,
)
from workbench.execution.shared import Shared
from workbench.execution.spool import Spool
from workbench.query import views_child
from workbench.query.conditions import checked
from workbench.query.views import Views
from workbench.query.views_process import Child

SCHEMA = pa.schema(
    [
        ("n", pa.int32()),
        ("big", pa.uint64()),
        ("word", pa.string()),
        ("price", pa.decimal128(10, 2)),
        ("x", pa.float64()),
        ("single", pa.float32()),
        ("yes", pa.bool_()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us")),
        ("zoned", pa.timestamp("us", "Europe/Berlin")),
        ("clock", pa.time64("us")),
        ("tags", pa.list_(pa.string())),
        ("bytes", pa.binary()),
    ]
)
ROWS: list[dict[str, Any]] = [
    {
        "n": n - 3,
        "big": 2**64 - 1 - n,
        "word": ["Apple", "apple pie", "100%", "a_b", "ÄPFEL", "", "'; drop", "nought"][n],
        "price": Decimal(n) + Decimal("0.10"),
        "x": [0.5, -1.5, float("nan"), float("inf"), 2.0, 2.0, -0.0, 3.25][n],
        "single": 0.1 * n,
        "yes": n % 2 == 0,
        "day": datetime.date(2026, 1, 1 + n),
        "at": datetime.datetime(2026, 1, 1, n, 30, 0, 5),
        "zoned": datetime.datetime(2026, 1, 1, n, tzinfo=datetime.UTC),
        "clock": datetime.time(n, 15),
        "tags": ["t"] * n,
        "bytes": bytes([n]),
    }
    for n in range(8)
] + [dict.fromkeys(SCHEMA.names)]

Find = Callable[..., list[int]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("views")


@pytest.fixture(scope="module")
def views(folder: Path) -> Iterator[Views]:
    views = Views(folder / "results")
    yield views
    views.close()


def share(folder: Path, table: pa.Table, rows: int = 4) -> Iterator[Shared]:
    with Spool(folder / "spool", 1 << 20, schema=table.schema) as spool:
        for batch in table.to_batches(rows):
            spool.append(batch)
        spool.finish()
        shared = Shared(folder / "results", spool)
        assert shared.wait(10)
        yield shared
        shared.close()


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[Shared]:
    yield from share(folder, pa.Table.from_pylist(ROWS, SCHEMA))


@pytest.fixture(scope="module")
def find(views: Views, shared: Shared) -> Find:
    def found(*filters: tuple[Any, ...], sort: list[tuple[str, bool]] = [], search: str = "") -> list[int]:  # noqa: B006
        conditions = checked(
            SCHEMA,
            [{"column": column, "descending": descending} for column, descending in sort],
            [{"column": one[0], "op": one[1], **({"value": one[2]} if len(one) > 2 else {})} for one in filters],
            search,
        )
        numbers: list[int] = views.numbers(views.find(shared.id, conditions)).to_pylist()
        return numbers

    return found


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        (("n", "eq", "0"), [3]),
        (("n", "ne", 0), [0, 1, 2, 4, 5, 6, 7]),
        (("n", "lt", "-1"), [0, 1]),
        (("n", "between", ["-1", 1]), [2, 3, 4]),
        (("n", "in", ["4", "-3", "77"]), [0, 7]),
        (("big", "ge", "18446744073709551614"), [0, 1]),
        (("word", "eq", ""), [5]),
        (("word", "eq", "Apple"), [0]),
        (("word", "contains", "%"), [2]),
        (("word", "contains", "_"), [3]),
        (("word", "starts_with", "app"), [1]),
        (("word", "ends_with", "pie"), [1]),
        (("word", "contains", "'; drop"), [6]),
        (("word", "lt", "B"), [0, 2, 5, 6]),
        (("word", "in", ["Apple", "a_b"]), [0, 3]),
        (("price", "eq", "1.1"), [1]),
        (("price", "gt", "1.105"), [2, 3, 4, 5, 6, 7]),
        (("price", "le", "1e0"), [0]),
        (("x", "eq", "2"), [4, 5]),
        (("x", "gt", "2"), [2, 3, 7]),
        (("x", "eq", "nan"), [2]),
        (("x", "eq", "0"), [6]),
        (("single", "eq", "0.1"), [1]),
        (("yes", "eq", "true"), [0, 2, 4, 6]),
        (("yes", "eq", False), [1, 3, 5, 7]),
        (("day", "ge", "2026-01-07"), [6, 7]),
        (("at", "lt", "2026-01-01 02:30"), [0, 1]),
        (("at", "eq", "2026-01-01 02:30:00.000005"), [2]),
        (("at", "ge", "2026-01-02"), []),
        (("zoned", "le", "2026-01-01 02:00:00"), [0, 1]),
        (("zoned", "eq", "2026-01-01 02:00:00+00:00"), [2]),
        (("zoned", "eq", "2026-01-01T02:00:00Z"), [2]),
        (("clock", "gt", "06:15"), [7]),
        (("tags", "is_null"), [8]),
        (("bytes", "not_null"), [0, 1, 2, 3, 4, 5, 6, 7]),
        (("n", "is_null"), [8]),
    ],
)
def test_a_condition_finds_its_rows(find: Find, condition: tuple[Any, ...], rows: list[int]) -> None:
    assert find(condition) == rows


@pytest.mark.parametrize(
    ("condition", "error", "words"),
    [
        (("m", "eq", 1), UnknownColumn, "No column `m`"),
        (("n", "like", "x"), InvalidParameter, "is `like`"),
        (("n", "eq", "x"), InvalidParameter, "`x` for `n` is not a whole number"),
        (("n", "eq", "1.5"), InvalidParameter, "whole number"),
        (("n", "eq", "3000000000"), InvalidParameter, "int32, which goes from -2,147,483,648"),
        (("big", "eq", "-1"), InvalidParameter, "from 0 to"),
        (("n", "eq", {"a": 1}), InvalidParameter, "single value"),
        (("n", "contains", "1"), InvalidParameter, "asks for text"),
        (("n", "between", [1]), InvalidParameter, "2 values; 1 came"),
        (("n", "in", []), InvalidParameter, "one or more values"),
        (("n", "eq"), InvalidParameter, "1 value; 0 came"),
        (("n", "is_null", 1), InvalidParameter, "0 values; 1 came"),
        (("n", "in", ["1"] * 1001), LimitExceeded, "1,000"),
        (("yes", "eq", "maybe"), InvalidParameter, "true or false"),
        (("yes", "gt", "true"), InvalidParameter, "no meaning"),
        (("price", "eq", "1e39"), InvalidParameter, "decimal"),
        (("price", "eq", "inf"), InvalidParameter, "38 digits"),
        (("x", "eq", "one"), InvalidParameter, "a number"),
        (("day", "eq", "2026-02-30"), InvalidParameter, "a date such as"),
        (("at", "eq", "yesterday"), InvalidParameter, "a time such as"),
        (("at", "eq", "2026-01-01 01:00+01:00"), InvalidParameter, "without a zone"),
        (("clock", "eq", "25"), InvalidParameter, "time of day"),
        (("clock", "eq", "25:00"), InvalidParameter, "value"),
        (("tags", "eq", "t"), InvalidParameter, "is_null or not_null"),
        (("bytes", "eq", "t"), InvalidParameter, "is_null or not_null"),
        (("word", "eq", "a\0b"), InvalidParameter, "without NUL"),
    ],
)
def test_what_does_not_fit_is_said(find: Find, condition: tuple[Any, ...], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words.replace("(", r"\(")):
        find(condition)


def test_sorting(find: Find) -> None:
    assert find(sort=[("n", True)]) == [7, 6, 5, 4, 3, 2, 1, 0, 8]
    assert find(sort=[("x", False)]) == [1, 6, 0, 4, 5, 7, 3, 2, 8]
    assert find(sort=[("x", True)]) == [2, 3, 7, 4, 5, 0, 6, 1, 8]  # equal ones as they came, NULLs last
    assert find(sort=[("word", False)]) == [5, 6, 2, 0, 3, 1, 7, 4, 8]
    assert find(sort=[("yes", False), ("n", True)]) == [7, 5, 3, 1, 6, 4, 2, 0, 8]
    assert find(("n", "gt", "1"), sort=[("word", True)]) == [7, 6, 5]
    with pytest.raises(InvalidParameter, match="have no order"):
        find(sort=[("tags", False)])


def test_searching_is_in_all_columns_with_text_in_any_case(find: Find) -> None:
    assert find(search="APP") == [0, 1]
    assert find(search="äpf") == [4]
    assert find(search="3.25") == [7]
    assert find(search="18446744073709551615") == [0]
    assert find(search="2026-01-05") == [4]
    assert find(search="%' or true --") == []
    assert find(("yes", "eq", True), search="apple") == [0]
    assert find(search="04:00:00+01:00") == [3]  # as it is shown, in its zone
    assert find(search="05:15") == [5]
    assert find(search="TRUE") == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "2026-07-01 10:00:00.5+00:00"),
        ("America/St_Johns", "2026-07-01 07:30:00.5-02:30"),
        ("+05:30", "2026-07-01 15:30:00.5+05:30"),
        ("-0930", "2026-07-01 00:30:00.5-09:30"),
        ("Nowhere/Land", "2026-07-01 10:00:00.5+00:00"),
        ("localtime", "2026-07-01 10:00:00.5+00:00"),
    ],
)
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_of_any_zone_are_searched_as_they_are_shown(
    views: Views, folder: Path, zone: str, unit: str, text: str
) -> None:
    seconds = int(datetime.datetime(2026, 7, 1, 10, tzinfo=datetime.UTC).timestamp())
    per = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[unit]
    values = [seconds * per + per // 2, 0, None, 2**62 if unit != "ms" else 2**50]
    for shared in share(folder, pa.table({"at": pa.array(values, pa.timestamp(unit, zone))})):
        assert views.numbers(views.find(shared.id, checked(shared.schema, [], [], text))).to_pylist() == [0]


def test_long_texts_that_repeat_sort_as_others_do(tmp_path: Path) -> None:
    words = [None if n % 1000 == 7 else f"a long prefix {n * 7919 % 501}" for n in range(150_000)]
    views = Views(tmp_path / "results")
    for shared in share(tmp_path, pa.table({"word": words}), 10_000):
        conditions = checked(shared.schema, [{"column": "word", "descending": True}], [], "")
        numbers = views.numbers(views.find(shared.id, conditions)).to_pylist()
        last = [n for n, word in enumerate(words) if word is None]
        rest = sorted(
            (n for n, word in enumerate(words) if word is not None), key=lambda n: words[n] or "", reverse=True
        )
        assert numbers == rest + last
    views.close()


VALUES = {
    "n": st.one_of(st.none(), st.integers(-3, 3)),
    "word": st.one_of(st.none(), st.text("aB%_'é\\", max_size=3)),
}


@given(data=st.data())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_conditions_are_those_of_python(folder: Path, views: Views, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.fixed_dictionaries(VALUES), max_size=12))
    schema = pa.schema([("n", pa.int64()), ("word", pa.string())])
    number, text = data.draw(st.integers(-3, 3)), data.draw(st.text("aB%_'é\\", min_size=1, max_size=2))
    op = data.draw(st.sampled_from(["eq", "ne", "lt", "ge"]))
    descending = data.draw(st.booleans())
    compare = {"eq": int.__eq__, "ne": int.__ne__, "lt": int.__lt__, "ge": int.__ge__}[op]
    wanted = [at for at, row in enumerate(rows) if row["n"] is not None and compare(row["n"], number)]
    wanted = [at for at in wanted if rows[at]["word"] is not None and text in rows[at]["word"]]
    wanted.sort(key=lambda at: rows[at]["n"], reverse=descending)
    filters = [{"column": "n", "op": op, "value": number}, {"column": "word", "op": "contains", "value": text}]
    for shared in share(folder, pa.Table.from_pylist(rows, schema), 3):
        conditions = checked(schema, [{"column": "n", "descending": descending}], filters, "")
        view = views.find(shared.id, conditions)
        assert views.numbers(view).to_pylist() == wanted
        assert (view.rows, view.seen) == (len(wanted), len(rows))


def test_a_result_that_grows_is_seen_as_far_as_it_is_there(tmp_path: Path) -> None:
    views = Views(tmp_path / "results")
    schema = pa.schema([("n", pa.int64())])
    conditions = checked(schema, [{"column": "n", "descending": True}], [], "")
    with Spool(tmp_path / "spool", 1 << 20, schema=schema) as spool:
        shared = Shared(tmp_path / "results", spool)
        assert views.find(shared.id, conditions).seen == 0
        spool.append(pa.record_batch({"n": pa.array([1, 2, 3])}))
        while views.reader(shared.id).rows < 3:
            pass
        first = views.find(shared.id, conditions)
        spool.append(pa.record_batch({"n": pa.array([4])}))
        spool.finish()
        assert shared.wait(10)
        assert views.find(shared.id, conditions).rows == 4
        assert first.rows == first.seen == 3
        first.held = None  # let go, and found again: of the rows that it was of
        assert views.numbers(first).to_pylist() == [2, 1, 0]
        shared.close()
        with pytest.raises(UnknownResult):
            views.find(shared.id, conditions)
    views.close()


# --- what is told while rows are looked for


@pytest.fixture(scope="module")
def large(folder: Path) -> Iterator[Shared]:
    """Three million numbers whose texts are long, so that a search of them takes its time."""
    yield from share(folder, pa.table({"x": pc.divide(pc.multiply(pa.arange(0, 3_000_000), 7919), 7.0)}), 60_000)


def test_rows_are_told_as_they_are_found_and_are_good_when_it_is_stopped(views: Views, large: Shared) -> None:
    conditions = checked(large.schema, [], [], "142")
    view = views.begin(large.id, conditions)
    view.wait(30, enough=1)
    early = views.numbers(view).to_pylist()
    view.stop()
    view.wait(30)
    standing = view.standing
    assert standing.state == "stopped"
    assert 0 < len(early) <= standing.rows
    assert standing.seen < view.of == 3_000_000
    assert standing.total is None
    found = views.numbers(view).to_pylist()
    assert found[: len(early)] == early
    whole = views.find(large.id, conditions)  # another one, for this was stopped
    assert whole.standing.seen == 3_000_000
    assert found == [n for n in views.numbers(whole).to_pylist() if n < standing.seen]
    with pytest.raises(Cancelled):
        views.numbers(view, whole=True)


def test_the_first_rows_of_an_order_are_told_before_the_others(views: Views, large: Shared) -> None:
    view = views.begin(large.id, checked(large.schema, [{"column": "x", "descending": True}], [], ""))
    view.wait(30, enough=1)
    first = view.standing
    assert (first.state, first.rows, first.total) == ("working", views_child.FIRST, 3_000_000)
    early = views.numbers(view).to_pylist()
    assert early == list(range(2_999_999, 2_999_999 - views_child.FIRST, -1))
    view.wait(60)
    assert view.standing.rows == 3_000_000
    assert views.numbers(view).to_pylist()[::100_000] == list(range(2_999_999, -1, -100_000))


def test_a_stopped_child_stays_and_is_asked_the_next(folder: Path, large: Shared) -> None:
    views = Views(folder / "results")
    view = views.begin(large.id, checked(large.schema, [], [], "142"))
    view.wait(30, enough=1)
    view.stop()
    view.wait(30)
    [child] = views._idle
    assert child.alive
    assert views.find(large.id, checked(large.schema, [], [{"column": "x", "op": "eq", "value": 0}], "")).rows == 1
    assert views._idle == [child]
    views.close()


def test_a_view_that_nobody_asks_about_is_given_up(
    folder: Path, large: Shared, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., object]
) -> None:
    monkeypatch.setattr("workbench.query.views.ABANDONED_SECONDS", 0.1)
    views = Views(folder / "results")
    view = views.begin(large.id, checked(large.schema, [], [], "142"))
    eventually(lambda: view._standing.state == "stopped", within=30)
    views.close()


def test_a_search_of_ten_thousand_columns(tmp_path: Path) -> None:
    views = Views(tmp_path / "results")
    for shared in share(tmp_path, pa.table({f"c{n}": [n, 20_000 + n, 3] for n in range(10_000)})):
        conditions = checked(shared.schema, [], [], "9999")
        assert views.numbers(views.find(shared.id, conditions)).to_pylist() == [0, 1]
    views.close()


# --- the other process


def test_a_child_that_died_is_replaced(find: Find, views: Views) -> None:
    find(("n", "eq", 1))
    [child] = views._idle
    os.kill(child.pid, signal.SIGKILL)
    child._process.wait()
    assert find(("n", "eq", 2)) == [5]


def test_one_that_is_killed_while_it_works_is_made_up_for_once(
    shared: Shared, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = Views(folder / "results")
    killed: list[int] = []
    ask = Child.ask

    def kill(child: Child, asked: dict[str, Any]) -> None:
        ask(child, asked)
        if len(killed) < times:
            killed.append(child.pid)
            os.kill(child.pid, signal.SIGSTOP)  # it has not answered yet, or its answer is thrown away
            os.kill(child.pid, signal.SIGKILL)
            child._process.wait()
            while os.read(child._process.stdout.fileno(), 1 << 16):  # type: ignore[union-attr]
                pass

    monkeypatch.setattr(Child, "ask", kill)
    times = 1
    assert views.find(shared.id, checked(SCHEMA, [], [{"column": "n", "op": "eq", "value": 1}], "")).rows == 1
    times = 3
    with pytest.raises(DocumentError, match="has ended twice, by SIGKILL"):
        views.find(shared.id, checked(SCHEMA, [], [{"column": "n", "op": "eq", "value": 2}], ""))
    assert len(set(killed)) == 3
    views.close()


def test_one_that_takes_too_long_is_ended_and_the_next_one_works(shared: Shared, folder: Path) -> None:
    views = Views(folder / "results", seconds=0.5)
    conditions = checked(SCHEMA, [], [{"column": "n", "op": "eq", "value": 1}], "")
    with views._child(1e12) as child:
        pass
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(LimitExceeded, match=r"seconds of a view` of 0\.5"):
        views.find(shared.id, conditions)
    assert not child.alive
    assert not child._place.path.exists()
    views._seconds = 30
    assert views.find(shared.id, conditions).rows == 1
    views.close()


def test_whoever_asked_can_leave(shared: Shared, folder: Path, eventually: Callable[..., object]) -> None:
    views = Views(folder / "results")
    with views._child(1e12) as child:
        pass
    os.kill(child.pid, signal.SIGSTOP)
    left = threading.Event()
    threading.Timer(0.1, left.set).start()
    with pytest.raises(Cancelled):
        views.find(shared.id, checked(SCHEMA, [], [{"column": "n", "op": "eq", "value": 1}], ""), left.is_set)
    eventually(lambda: not child.alive, within=10)
    views.close()


def test_the_child_is_fenced(tmp_path: Path) -> None:
    import duckdb

    canary = tmp_path / "canary.csv"
    canary.write_text("a\n1\n")
    engine = views_child._engine(tmp_path / "engine")
    for text in (
        f"from read_csv('{canary}')",
        f"copy (select 1) to '{tmp_path / 'out'}'",
        "set enable_external_access = true",
        "set memory_limit = '100GB'",
        "install httpfs",
        f"attach '{canary}'",
    ):
        with pytest.raises(duckdb.Error):
            engine.execute(text)
    engine.close()


def test_too_much_memory_is_an_error_that_says_so(folder: Path) -> None:
    """The address space is bounded, and the next one that asks for less is served."""
    conditions = checked(pa.schema([("n", pa.float64())]), [{"column": "n", "descending": False}], [], "")
    for shared in share(folder, pa.table({"n": pc.random(2_000_000, initializer=7)}), 100_000):
        views = Views(folder / "results", memory=1 << 20)  # an order of that many rows has no place in it
        with pytest.raises(LimitExceeded, match="memory of a view"):
            views.find(shared.id, conditions)
        views._memory = 3 << 30
        assert views.find(shared.id, conditions).rows == 2_000_000
        views.close()


def test_damaged_files_are_said_by_the_child_too(tmp_path: Path) -> None:
    views = Views(tmp_path / "results")
    schema = pa.schema([("n", pa.int64())])
    for shared in share(tmp_path, pa.table({"n": [1, 2]}, schema=schema)):
        rows = tmp_path / "results" / f"{shared.id}.rows"
        rows.write_bytes(b"\xff" * rows.stat().st_size)
        with pytest.raises(DocumentError, match="damaged"):
            views.find(shared.id, checked(schema, [{"column": "n"}], [], ""))
    views.close()
