"""Rows that go into a store without transactions by insert: what is refused alone, and a run that is killed after a
commit that nobody knows of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest

from tests.conftest import REPOSITORY
from tests.services.mongodb.server import MongoJava
from workbench.catalog import Catalog
from workbench.contract import Position
from workbench.streams import Sink, Topology, spout
from workbench.streams.running import Running

Start = Callable[..., Running]


@pytest.fixture
def shop(mongodb: MongoJava, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A database that is connected as `docs`; its `taken` has the key 3 and, by another unique index, the code 50."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    Catalog().connect("docs", mongodb.url(), writable=True)
    with mongodb.client() as client:
        client.shop.taken.drop()
        client.shop.taken.create_index([("code", pymongo.ASCENDING)], unique=True)
        client.shop.taken.insert_many([{"_id": 3, "code": 0, "v": 0.5}, {"_id": 100, "code": 50, "v": 0.5}])
        yield client.shop
        client.shop.taken.drop()


def topology() -> Topology:
    @spout("_id", "code", "v", repeats=True)
    def rows() -> Iterator[Any]:
        yield from ((n, 10 * n, n / 2) for n in range(1, 9))

    t = Topology("taken", snapshot_every="200ms").spout("rows", rows)
    return t.bolt("save", Sink("docs.taken", mode="insert", key="_id"), inputs="rows")


LEFT = {n: 10 * n for n in (1, 2, 4, 6, 7, 8)} | {3: 0, 100: 50}


def check(running: Running, shop: Any) -> None:
    """Of eight rows those with the key 3 and the code 50 are refused, and only they."""
    assert running.state == "done"
    assert {one["_id"]: one["code"] for one in shop.taken.find()} == LEFT
    letters = {letter.row: letter.error for letter in running.dead_letters}
    assert set(letters) == {(3, 30, 1.5), (5, 50, 2.5)}
    assert all("E11000" in error for error in letters.values())
    assert running.metrics().count("failed", "rows") == 0


@pytest.mark.parametrize("state", [False, True])
def test_rows_that_are_there_are_dead_letters_and_the_others_are_written(
    started: Start, shop: Any, state: bool
) -> None:
    t = topology()
    before = t.guarantees(state=state)
    running = started(t, state=state).wait(60)
    check(running, shop)
    assert running.guarantees()["save"].claim == ("effectively once" if state else "at least once")
    assert before["save"] == running.guarantees()["save"]


@pytest.mark.parametrize(("key", "claim"), [("_id", "effectively once"), ((), "at least once")])
def test_what_is_claimed_before_a_run_is_what_the_run_claims(key: Any, claim: str, started: Start, shop: Any) -> None:
    """Also of a collection that the run makes."""

    @spout("_id", "v", repeats=True)
    def rows() -> Iterator[Any]:
        yield from ((n, n / 2) for n in range(3))

    for table in ("docs.taken", "docs.made"):
        t = Topology("before").spout("rows", rows)
        t.bolt("save", Sink(table, mode="insert", key=key, create=True), inputs="rows")
        before = t.guarantees()["save"]
        running = started(t, state=True, recover=False).wait(60)
        assert (running.state, running.guarantees()["save"], before.claim) == ("done", before, claim)
        shop.made.drop()


@pytest.mark.parametrize("gone", [(), (1, 6, 8)])
def test_a_run_that_was_killed_after_a_commit_goes_on(started: Start, shop: Any, gone: tuple[int, ...]) -> None:
    """Also where the commit was cut short, so that rows of it are missing."""
    child = subprocess.run(
        [sys.executable, "-c", "from tests.streams.test_sinks_mongodb import killed; killed()"],
        cwd=REPOSITORY, env=os.environ.copy(), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL, child.stderr
    written = {one["_id"] for one in shop.taken.find()}
    assert written - {3, 100}
    shop.taken.delete_many({"_id": {"$in": list(gone)}})
    running = started(topology(), state=True).wait(60)
    check(running, shop)
    assert running.guarantees()["save"].claim == "effectively once"
    again = started(topology(), state=True).wait(60)  # whose snapshot has nothing new for it
    assert again.state == "done"
    assert {one["_id"]: one["code"] for one in shop.taken.find()} == LEFT


def killed() -> None:
    """In a process of its own: ends it when the first commit is one."""
    from workbench_mongodb.writer import MongoDBWriter

    commit = MongoDBWriter.commit

    def last(self: MongoDBWriter, upto: Position | None) -> None:
        commit(self, upto)
        os.kill(os.getpid(), signal.SIGKILL)

    MongoDBWriter.commit = last  # type: ignore[method-assign, assignment]
    topology().run(state=True).wait(60)
