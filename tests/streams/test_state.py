"""Snapshots and recovery in one process: what is kept, what is given back, what is refused by name."""

from __future__ import annotations

import sqlite3
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from workbench.contract.errors import StateRefused
from workbench.streams import (
    Bolt,
    StatefulBolt,
    Tail,
    Topology,
    bolt,
    fields,
    session,
    sliding,
    spout,
    tumbling,
)
from workbench.streams.encoding import NotPlain, canonical, from_text, to_text
from workbench.streams.running import Running
from workbench.streams.snapshots import Collected, SnapshotFile
from workbench.streams.state import State, Units

Start = Callable[..., Running]


class Count(StatefulBolt):
    """How often each word came, and which were last."""

    outputs = ("word", "count")

    def execute(self, tuple: Any) -> None:  # noqa: A002
        count = self.state[tuple.word] = self.state.get(tuple.word, 0) + 1
        self.state.setdefault("last", []).append(tuple.word)
        del self.state["last"][:-3]
        self.collector.emit((tuple.word, count))


WORDS = [f"w{number * 7 % 11}" for number in range(1000)]


def until(stop: int) -> Any:
    """Gives so many of the words, then nothing, and does not end."""

    @spout("word", repeats=True)
    def words() -> Iterator[Any]:
        yield from WORDS[:stop]
        while stop < len(WORDS):
            yield None

    return words


def counting(stop: int, **config: Any) -> tuple[Topology, list[Any]]:
    got: list[Any] = []
    t = Topology("counting", snapshot_every="200ms", **config)
    t.spout("words", until(stop))
    t.bolt("count", Count, inputs=[("words", fields("word"))], parallelism=2)
    t.bolt("out", got.append, inputs="count")
    return t, got


def test_a_run_goes_on_where_the_last_one_was(started: Start, tmp_path: Path, eventually: Any) -> None:
    path = tmp_path / "counting.sqlite"
    t, got = counting(400)
    running = started(t, state=path)
    eventually(lambda: len(got) == 400, within=60)
    running.stop(60)
    assert running.state == "stopped"
    t, after = counting(1000)
    started(t, state=path).wait(60)
    assert len(after) == 600
    whole: Counter[str] = Counter()
    expected = []
    for word in WORDS:
        whole[word] += 1
        expected.append((word, whole[word]))
    assert [*map(tuple, got), *map(tuple, after)] == expected
    t, nothing = counting(1000)
    started(t, state=path).wait(60)
    assert not nothing
    t, anew = counting(1000)
    started(t, state=path, recover=False).wait(60)
    assert list(map(tuple, anew)) == expected


def test_it_goes_on_from_the_last_snapshot_when_the_end_was_none(
    started: Start, tmp_path: Path, eventually: Any
) -> None:
    """The file is copied while it runs, as if the process had ended at that moment."""
    path, copy = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    t, got = counting(500)
    running = started(t, state=path)
    eventually(lambda: len(got) == 500 and running.snapshot and running.snapshot.number >= 1, within=60)
    number = running.snapshot.number if running.snapshot else 0
    eventually(lambda: running.snapshot and running.snapshot.number > number, within=60)
    running.pause()
    eventually(lambda: running.state == "paused", within=60)
    copy.write_bytes(path.read_bytes())
    t, after = counting(1000)
    started(t, state=copy).wait(60)
    assert len(after) == 500
    assert after[-1].count == Counter(WORDS)[after[-1].word]


def test_a_state_file_is_one_runs_alone(started: Start, tmp_path: Path, eventually: Any) -> None:
    t, _ = counting(10)
    running = started(t, state=tmp_path / "x.sqlite")
    with pytest.raises(StateRefused, match="another run has it open"):
        started(counting(10)[0], state=tmp_path / "x.sqlite")
    running.stop(60)
    started(counting(10)[0], state=tmp_path / "x.sqlite")


def other(change: str) -> Topology:
    words = until(1000)
    t = Topology("counting")
    t.spout("words", words)
    if change == "gone":
        t.bolt("counts", Count, inputs=[("words", fields("word"))], parallelism=2)
    elif change == "tasks":
        t.bolt("count", Count, inputs=[("words", fields("word"))], parallelism=3)
    elif change == "code":
        t.bolt("count", Other, inputs=[("words", fields("word"))], parallelism=2)
    return t


class Other(StatefulBolt):
    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.state["n"] = self.state.get("n", 0) + 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("gone", "`count`, of which something is kept, is there no more"),
        ("tasks", "`count` had 2 tasks, and has 3"),
        ("code", "`count` was `tests.streams.test_state:Count`, and is `tests.streams.test_state:Other`"),
    ],
)
def test_what_has_changed_is_refused_by_name(started: Start, tmp_path: Path, change: str, said: str) -> None:
    path = tmp_path / "x.sqlite"
    t, _ = counting(1000)
    started(t, state=path).wait(60)
    with pytest.raises(StateRefused, match=said):
        started(other(change), state=path)
    running = started(other(change), state=path, forget=("count",))
    running.wait(60)
    assert "`count` was left out" in str(running.guarantees())
    with pytest.raises(StateRefused, match="nothing is kept of `nobody`"):
        started(other(change), state=path, forget=("nobody",))


def test_files_that_are_none_and_such_of_other_versions_are_refused(started: Start, tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StateRefused, match=r"x\.sqlite.*is damaged"):
        started(counting(10)[0], state=path)
    path.unlink()
    started(counting(1000)[0], state=path).wait(60)
    with sqlite3.connect(path) as base:
        base.execute("""update state set value = '{"?": 1}'""")
    base.close()
    with pytest.raises(StateRefused, match="is damaged"):
        started(counting(1000)[0], state=path)
    with sqlite3.connect(path) as base:
        base.execute("update meta set value = '99' where name = 'format'")
    base.close()
    with pytest.raises(StateRefused, match="it has the form '99'"):
        started(counting(1000)[0], state=path)


def test_a_full_disk_is_said_and_nothing_of_the_snapshot_is_there(tmp_path: Path) -> None:
    t, _ = counting(10)
    file = SnapshotFile(t, tmp_path / "x.sqlite")
    file.open()
    file.save(1, Collected({("words", 0, "spout"): "1"}))
    assert file._base is not None
    file._base.execute("pragma max_page_count = 8")
    with pytest.raises(StateRefused, match="full"):
        file.save(2, Collected({("words", 0, "spout"): "x" * 1_000_000}))
    file.close()
    again = SnapshotFile(t, tmp_path / "x.sqlite")
    saved = again.open()
    assert (saved.epoch, saved.parts) == (1, {("words", 0, "spout"): "1"})
    again.close()


class KeepsAnObject(StatefulBolt):
    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.state[tuple.word] = object()


def test_what_cannot_be_kept_is_refused_by_name(started: Start, tmp_path: Path) -> None:
    t = Topology("bad", snapshot_every="200ms").spout("words", until(5)).bolt("keeps", KeepsAnObject, inputs="words")
    with pytest.raises(StateRefused, match=r"component `keeps` holds a value of type `object` at key 'w\d+'"):
        started(t, state=tmp_path / "x.sqlite").wait(60)


class Holds(Bolt):
    """Acks nothing, ever."""

    auto_ack = False

    def execute(self, tuple: Any) -> None:  # noqa: A002
        pass


def test_a_moment_that_does_not_become_quiet_is_let_pass(started: Start, tmp_path: Path, eventually: Any) -> None:
    t, got = counting(400)
    t.bolt("holds", Holds, inputs="words")
    running = started(t, state=tmp_path / "x.sqlite")
    eventually(lambda: running.snapshot and running.snapshot.why_not, within=60)
    assert "400 tuples of `words` are on their way" in (running.snapshot.why_not if running.snapshot else "")
    assert running.snapshot is not None
    assert running.snapshot.number == 0
    assert "`holds` acks by itself" in str(t.guarantees()["holds"])
    eventually(lambda: len(got) == 400, within=60)
    assert running.stop(60).state == "stopped"
    assert any("no last snapshot was made" in line for line in running.log)


# --- windows

KINDS = [
    tumbling("1s", time="at", lag="300ms"),
    sliding("1s", every="250ms", time="at", lag="300ms"),
    sliding("1s", every=3, time="at", lag="300ms"),
    sliding(7, every="250ms", time="at", lag="300ms"),
    sliding(10, every=4),
    tumbling(10),
    session("100ms", by="key", time="at", lag="300ms"),
]
EVENTS = [(50.0 * number - (number * 37 % 11) * 40, f"k{number % 3}", number) for number in range(400)]


def windowed(kind: Any, stop: int) -> tuple[Topology, list[Any], list[Any]]:
    @spout("at", "key", "n", repeats=True)
    def events() -> Iterator[Any]:
        yield from EVENTS[:stop]
        while stop < len(EVENTS):
            yield None

    got: list[Any] = []
    late: list[Any] = []
    t = Topology("windowed", snapshot_every="200ms", seed=1)
    t.spout("events", events)
    t.bolt("windows", bolt()(lambda window: got.append(seen(window))), inputs="events", window=kind)
    t.bolt("late", lambda row: late.append(row.row), inputs="windows.late")
    return t, got, late


def seen(window: Any) -> Any:
    numbers = [row.n for row in window]
    return window.end, window.key, numbers, [row.n for row in window.new], [row.n for row in window.expired]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("stop", [1, 57, 203])
def test_windows_go_on_where_they_were(started: Start, tmp_path: Path, eventually: Any, kind: Any, stop: int) -> None:
    t, whole, late = windowed(kind, len(EVENTS))
    started(t).wait(60)
    t, before, late_before = windowed(kind, stop)
    running = started(t, state=tmp_path / "x.sqlite")
    eventually(lambda: running.metrics().count("executed", "windows") == stop, within=60)
    running.stop(60)
    t, after, late_after = windowed(kind, len(EVENTS))
    running = started(t, state=tmp_path / "x.sqlite")
    running.wait(60)
    assert [*before, *after] == whole
    assert [*late_before, *late_after] == late
    counts = running.metrics().now.windows
    assert next(iter(counts.values()))["late"] == len(late)


# --- a tree that fails is undone


class Fails(Bolt):
    """Raises the first time that it gets a row."""

    seen: set[Any] = set()

    def execute(self, tuple: Any) -> None:  # noqa: A002
        if tuple[-1] not in self.seen and hash(tuple[-1]) % 3 == 0:
            self.seen.add(tuple[-1])
            raise ValueError("the first time")


@pytest.mark.parametrize("order", ["count first", "count last"])
@pytest.mark.parametrize("batch", [0, 7])
def test_what_a_failed_tree_has_done_is_undone(started: Start, tmp_path: Path, order: str, batch: int) -> None:
    Fails.seen = set()

    @spout("n", repeats=True, batch=batch)
    def numbers() -> Iterator[Any]:
        yield from range(100)

    t = Topology("undone", retry_backoff=0.001, max_retries=50)
    t.spout("numbers", numbers)
    if order == "count first":
        t.bolt("sums", Sums, inputs="numbers").bolt("fails", Fails, inputs="numbers")
    else:
        t.bolt("fails", Fails, inputs="numbers").bolt("sums", Sums, inputs="numbers")
    out: list[Any] = []
    t.bolt("windows", lambda window: out.append(len(window)), inputs="numbers", window=tumbling(1000))
    running = started(t, state=tmp_path / "x.sqlite")
    running.wait(60)
    assert running.metrics().count("failed", "numbers") > 0
    assert sum(out) == 100
    with sqlite3.connect(tmp_path / "x.sqlite") as base:
        ((kept,),) = base.execute("select value from state where key = '\"all\"'").fetchall()
    base.close()
    assert sorted(from_text(kept)) == list(range(100))
    assert running.guarantees()["sums"].claim == "effectively once"


class Sums(StatefulBolt):
    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.state.setdefault("all", []).append(tuple.n)


def test_what_cannot_be_undone_is_said(started: Start, tmp_path: Path) -> None:
    class OnceBad(Bolt):
        bad = True

        def execute(self, window: Any) -> None:
            if OnceBad.bad:
                OnceBad.bad = False
                raise ValueError("not now")

    @spout("n", repeats=True)
    def numbers() -> Iterator[Any]:
        yield from range(10)

    t = Topology("windowed").spout("numbers", numbers).bolt("sums", Sums, inputs="numbers")
    t.bolt("windows", OnceBad, inputs="numbers", window=tumbling(5))
    assert t.guarantees()["sums"].claim == "effectively once"
    running = started(t, state=tmp_path / "x.sqlite")
    running.wait(60)
    found = running.guarantees()["sums"]
    assert found.claim == "at least once"
    assert any("`windows` failed: ValueError: not now" in why for why in found.why)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["set", "del", "add"])))
        )
    )
)
def test_states_are_as_before_the_unit_that_failed(units: Any) -> None:
    """Against a copy of everything."""
    now = [0]
    state = State({}, Units(lambda: now[0]))
    model: dict[Any, Any] = {}
    for number, (fails, steps) in enumerate(units):
        now[0] = number + 1
        before = {key: list(value) for key, value in model.items()}
        for key, what in steps:
            if what == "del":
                state.pop(key, None)
                model.pop(key, None)
            elif what == "set":
                state[key] = [number]
                model[key] = [number]
            else:
                state.setdefault(key, []).append(number)
                model.setdefault(key, []).append(number)
        if fails == 0:
            assert state.undo(now[0])
            model = before
        assert dict(state) == model
    changed = {from_text(key) for _, key, _ in state.changes()}
    assert changed >= set(model)


def test_a_window_within_is_not_undone_with_what_is_around_it() -> None:
    now = [1]
    units = Units(lambda: now[0])
    state = State({}, units)
    state["a"] = 1
    inner = units.begin()
    state["b"] = 2
    units.end()
    state["c"] = 3
    assert state.undo(1)
    assert dict(state) == {"b": 2}
    now[0] = 2
    state["a"] = 1
    inner = units.begin()
    state["a"] = 5
    assert state.undo(inner)
    assert state["a"] == 1
    units.end()
    units.begin()
    state["a"] = 6
    units.end()
    state["d"] = 1
    assert not state.undo(2)  # the window's change is gone with it


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.datetimes(timezones=st.sampled_from([UTC, ZoneInfo("Europe/Berlin")]))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.lists(inner).map(deque)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text(), st.integers()), inner)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_back_with_their_types(value: Any) -> None:
    back = from_text(to_text(value))
    assert back == value
    assert repr(back) == repr(value)


@given(st.sets(st.integers() | st.text()) | st.frozensets(st.tuples(st.integers(), st.text())))
def test_sets_come_back(value: Any) -> None:
    back = from_text(to_text(value))
    assert back == value
    assert type(back) is type(value)


def test_other_values_come_back_too_and_no_others() -> None:
    table = pa.table({"a": [1, None]})
    assert from_text(to_text(table)).equals(table)
    for value in (Counter("aab"), OrderedDict(b=1, a=2), float("inf"), bytearray(b"x"), time(1, 2), date(2020, 1, 2)):
        assert repr(from_text(to_text(value))) == repr(value)
    assert repr(from_text(to_text(float("nan")))) == "nan"
    assert from_text(to_text(deque([1], 3))).maxlen == 3
    assert from_text(to_text([Decimal("1.50"), UUID(int=5), timedelta(1), datetime(2020, 1, 1, fold=1)]))[0] == Decimal(
        "1.50"
    )
    assert canonical(1) == canonical(True) == canonical(1.0) != canonical(1.5)
    looped: list[Any] = []
    looped.append(looped)
    for bad in (object(), looped, 10**5000, lambda: 1, type):
        with pytest.raises(NotPlain):
            to_text(bad)
    for text in ("", "{}", '{"x": 1}', '{"t": 1}', '{"b": "?"}', '{"at": ["x", 0, null]}', '{"n": "x"}', '{"d": [1]}'):
        with pytest.raises(ValueError):  # noqa: PT011
            from_text(text)


# --- spouts that go on


def test_a_tail_goes_on_also_over_a_rotation(started: Start, tmp_path: Path, eventually: Any) -> None:
    log = tmp_path / "access.log"
    log.write_text("one\ntwo\n")
    lines: list[str] = []

    def tail() -> Topology:
        t = Topology("tail", snapshot_every="200ms").spout("lines", Tail(log, whole=True))
        return t.bolt("out", lambda row: lines.append(row.line), inputs="lines")

    running = started(tail(), state=tmp_path / "x.sqlite")
    eventually(lambda: lines == ["one", "two"], within=60)
    running.stop(60)
    with log.open("a") as file:
        file.write("three\n")
    log.rename(tmp_path / "access.log.1")
    log.write_text("four\n")
    running = started(tail(), state=tmp_path / "x.sqlite")
    eventually(lambda: lines == ["one", "two", "three", "four"], within=60)
    running.stop(60)
