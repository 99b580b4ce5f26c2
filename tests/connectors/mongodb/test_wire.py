"""What is said to a server and made of its answers, where no server from a package has it: by a scripted one."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import random
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import bson
import pytest

from tests.connectors.mongodb.scripted import PROOF, Scripted, framed, refusal
from workbench.contract import Aggregate, Measure, ScanRequest, TableRef
from workbench.contract.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    NotExact,
    ProtocolError,
    QueryFailed,
    SnapshotChanged,
    SourceError,
    SourceTimeout,
    StatementRefused,
    UnknownTable,
    WorkbenchError,
)
from workbench.testing.control import RecordingControl
from workbench.testing.scanning import read as drained
from workbench_mongodb.connector import MongoDBConnector

ORDERS, MARK = TableRef("orders"), "wb-wire-1"
ROWS = [{"_id": n, "n": n} for n in range(3)]


@contextlib.contextmanager
def connected(server: Scripted, **parameters: object) -> Iterator[MongoDBConnector]:
    connector = MongoDBConnector(server.config(**parameters))
    try:
        yield connector
    finally:
        connector.close()


def read(connector: MongoDBConnector) -> list[dict[str, Any]]:
    split = connector.tables.plan(ScanRequest(ORDERS, ("_id", "n"))).splits[0]
    with contextlib.closing(connector.tables.read(split, RecordingControl(MARK))) as reader:
        return [row for batch in reader for row in batch.to_pylist()]


def of_the_scan(command: dict[str, Any]) -> bool:
    """Those that read rows carry a mark; those of the sample have none."""
    return "comment" in command


def test_every_command_has_a_limit_and_those_that_read_the_mark() -> None:
    more = {"ok": 1.0, "cursor": {"id": bson.Int64(7), "ns": "shop.orders", "firstBatch": ROWS[:1]}}
    last = {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "shop.orders", "nextBatch": ROWS[1:]}}

    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name == "getMore":
            return last
        return more if name == "find" and of_the_scan(command) else None

    with Scripted(answer) as server, connected(server, guard=12) as connector:
        assert read(connector) == ROWS
        (find,) = (one for one in server.commands("find") if of_the_scan(one))
        assert (find["comment"], find["maxTimeMS"]) == (MARK, 12_000)
        (more_of_it,) = server.commands("getMore")
        assert more_of_it["getMore"] == 7
        asked = [command for name, command in server.asked if name not in ("getMore", "endSessions")]
        assert all(command["maxTimeMS"] > 0 for command in asked)


def test_stop_ends_the_operation_and_the_cursor_that_carry_the_mark_and_no_other() -> None:
    working = [
        {"type": "op", "opid": 4711, "ns": "shop.orders", "command": {"find": "orders", "comment": MARK}},
        {"type": "idleCursor", "ns": "shop.a.b", "cursor": {"cursorId": bson.Int64(99),
                                                           "originatingCommand": {"comment": MARK}}},
    ]  # fmt: skip

    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name == "aggregate":
            return {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "admin.$cmd.aggregate", "firstBatch": working}}
        return None

    with Scripted(answer) as server, connected(server) as connector:
        connector.cancel(MARK)
        first, match = server.commands("aggregate")[0]["pipeline"]
        assert first == {"$currentOp": {"allUsers": False, "idleCursors": True}}
        asked = {"command.comment": MARK}, {"cursor.originatingCommand.comment": MARK}
        assert match == {"$match": {"$or": list(asked)}}
        assert [(one["killOp"], one["op"]) for one in server.commands("killOp")] == [(1, 4711)]
        (killed,) = server.commands("killCursors")
        assert (killed["$db"], killed["killCursors"], killed["cursors"]) == ("shop", "a.b", [99])


def test_a_reader_that_is_closed_while_the_server_works_has_it_ended() -> None:
    began, ended = threading.Event(), threading.Event()

    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name == "find" and of_the_scan(command):
            began.set()
            ended.wait(20)
            return refusal(11601, "operation was interrupted")
        if name == "aggregate":
            working = [{"type": "op", "opid": 5, "ns": "shop.orders", "command": {"comment": MARK}}]
            return {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "admin.x", "firstBatch": working}}
        if name == "killOp":
            ended.set()
        return None

    with Scripted(answer) as server, connected(server) as connector:
        split = connector.tables.plan(ScanRequest(ORDERS, ("n",))).splits[0]
        control = RecordingControl(MARK)
        reader = connector.tables.read(split, control)
        ends: list[WorkbenchError] = []

        def look() -> None:
            try:
                list(reader)
            except WorkbenchError as error:
                ends.append(error)

        reading = threading.Thread(target=look)
        reading.start()
        assert began.wait(10)
        control.cancel()
        reading.join(10)
        assert not reading.is_alive()
        assert isinstance(ends[0], Cancelled)
        assert ended.wait(10)
        assert server.commands("killOp")


def test_readers_side_by_side_keep_each_to_its_session() -> None:
    lock, numbers = threading.Lock(), itertools.count(100)

    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name == "find" and of_the_scan(command):
            with lock:
                cursor = next(numbers)
            time.sleep(0.01)  # so that the others' commands come between
            return {"ok": 1.0, "cursor": {"id": bson.Int64(cursor), "ns": "shop.orders", "firstBatch": ROWS[:1]}}
        if name == "getMore":
            over = int(command["getMore"]) >= 1000
            cursor = 0 if over else int(command["getMore"]) + 1000
            return {"ok": 1.0, "cursor": {"id": bson.Int64(cursor), "ns": "shop.orders", "nextBatch": ROWS[1:2]}}
        return None

    with Scripted(answer) as server, connected(server) as connector:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: read(connector), range(12)))
        assert found == [[ROWS[0], ROWS[1], ROWS[1]]] * 12
        assert len({str(one["lsid"]["id"]) for one in server.commands("find") if of_the_scan(one)}) > 1


def test_text_is_compared_by_its_code_points_whatever_the_collection_s_order() -> None:
    about = {
        "name": "orders",
        "type": "collection",
        "info": {},
        "options": {"collation": {"locale": "en", "strength": 2}},
    }

    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name == "listCollections":
            return {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "shop.$cmd.x", "firstBatch": [about]}}
        return None

    with Scripted(answer) as server, connected(server) as connector:
        assert read(connector) == ROWS
        (find,) = (one for one in server.commands("find") if of_the_scan(one))
        assert find["collation"] == {"locale": "simple"}


@pytest.mark.parametrize(
    ("code", "said", "kind", "text"),
    [
        (50, "operation exceeded time limit", SourceTimeout, "12"),
        (11601, "operation was interrupted", Cancelled, "stopped"),
        (43, "cursor id 5 not found", QueryFailed, "10 minutes of rest"),
        (13, "not authorized on shop", StatementRefused, "`read`"),
        (18, "Authentication failed", AuthenticationFailed, "password"),
        (2, "unknown operator: $x", QueryFailed, "unknown operator"),
    ],
)
def test_a_refusal_is_an_error_of_ours_that_says_the_way_out(
    code: int, said: str, kind: type[WorkbenchError], text: str
) -> None:
    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        return refusal(code, said) if name == "find" and of_the_scan(command) else None

    with Scripted(answer) as server, connected(server, guard=12) as connector, pytest.raises(kind, match=text):
        read(connector)


def test_a_reply_cut_at_any_byte_is_an_error_or_whole() -> None:
    whole = framed({"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "shop.orders", "firstBatch": ROWS}})
    cut = 0

    def answer(name: str, command: dict[str, Any]) -> bytes | None:
        return whole[:cut] if name == "find" and of_the_scan(command) else None

    with Scripted(answer) as server:
        with connected(server) as connector:
            split = connector.tables.plan(ScanRequest(ORDERS, ("_id", "n"))).splits[0]
        for cut in range(len(whole)):  # noqa: B007 - `answer` looks at it
            with (
                connected(server) as connector,  # a new one, for the driver of a broken one waits before it tries again
                pytest.raises(SourceError),
                contextlib.closing(connector.tables.read(split, RecordingControl(MARK))) as it,
            ):
                list(it)


def test_changed_bytes_of_a_reply_are_an_error_or_rows_that_are_counted() -> None:
    chance = random.Random(5)
    whole = framed({"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "shop.orders", "firstBatch": ROWS}})
    broken = whole

    def answer(name: str, command: dict[str, Any]) -> bytes | None:
        return broken if name == "find" and of_the_scan(command) else None

    with Scripted(answer) as server, connected(server) as connector:
        split, errors = connector.tables.plan(ScanRequest(ORDERS, ("_id", "n"))).splits[0], 0
        for _ in range(60):
            at = chance.randrange(16, len(whole))
            broken = whole[:at] + bytes((whole[at] ^ (1 << chance.randrange(8)),)) + whole[at + 1 :]
            try:
                with contextlib.closing(connector.tables.read(split, RecordingControl(MARK))) as reader:
                    rows = [row for batch in reader for row in batch.to_pylist()]
            except WorkbenchError:
                errors += 1
            else:
                assert len(rows) <= len(ROWS)
    assert 0 < errors < 60


@pytest.mark.parametrize("length", [0, 15, 2**31 - 1, -1])
def test_a_length_that_lies_is_a_protocol_error(length: int) -> None:
    whole = framed({"ok": 1.0})
    lie = struct.pack("<i", length) + whole[4:]

    def answer(name: str, command: dict[str, Any]) -> bytes | None:
        return lie if name == "find" and of_the_scan(command) else None

    with Scripted(answer) as server, connected(server) as connector, pytest.raises((ProtocolError, ConnectionLost)):
        read(connector)


def cursor(number: object, *rows: dict[str, Any], part: str = "firstBatch") -> dict[str, Any]:
    return {"ok": 1.0, "cursor": {"id": number, "ns": "shop.orders", part: list(rows)}}


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        (cursor(5.0, part="nextBatch"), ProtocolError),  # no cursor is a double
        ({"ok": 1.0, "cursor": {"ns": "shop.orders", "nextBatch": ROWS[1:]}}, ProtocolError),
        (refusal(175, "collection dropped. UUID 1-2"), SnapshotChanged),
        (refusal(96, "operation failed"), QueryFailed),
    ],
)
def test_after_an_error_nothing_is_left_at_the_server(more: dict[str, Any], kind: type[WorkbenchError]) -> None:
    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name == "getMore":
            return more
        return cursor(bson.Int64(77), ROWS[0]) if name == "find" and of_the_scan(command) else None

    with Scripted(answer) as server, connected(server) as connector:
        with pytest.raises(kind):
            read(connector)
        assert [one["cursors"] for one in server.commands("killCursors")] == [[77]]


def test_a_collection_that_is_gone_when_it_is_asked_is_an_error_and_not_empty() -> None:
    gone = threading.Event()

    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name == "find" and of_the_scan(command):
            gone.set()
            return cursor(bson.Int64(0))
        if name == "listCollections" and gone.is_set():
            return {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "shop.$cmd.x", "firstBatch": []}}
        return None

    with Scripted(answer) as server, connected(server) as connector, pytest.raises(UnknownTable):
        read(connector)


@pytest.mark.parametrize("kind", ["view", "timeseries"])
def test_a_view_or_a_time_series_is_neither_sampled_nor_cut(kind: str) -> None:
    options = {"viewOn": "all", "pipeline": []} if kind == "view" else {"timeseries": {"timeField": "t"}}
    about = {"name": "orders", "type": kind, "options": options, "info": {"readOnly": kind == "view"}}

    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name == "listCollections":
            return {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "shop.$cmd.x", "firstBatch": [about]}}
        if name == "collStats":
            return refusal(166, "Namespace shop.orders is a view, not a collection")
        if name == "aggregate":
            return cursor(bson.Int64(0), *(PROOF if "$limit" in command["pipeline"][0] else [{"k0": 1, "m0": 2}]))
        return None

    with Scripted(answer) as server, connected(server) as connector:
        shown = "view" if kind == "view" else "table"
        assert [(str(one.table), one.kind) for one in connector.tables.list()] == [("orders", shown)]
        assert read(connector) == ROWS
        plan = connector.tables.plan(ScanRequest(ORDERS, ("n",), splits=16))
        assert (len(plan.splits), plan.estimate) == (1, None)
        assert server.commands("find")
        assert not any("sort" in one for one in server.commands("find"))
        assert not server.commands("aggregate")
        groups = Aggregate(("n",), (Measure("count"),))
        plan = connector.tables.plan(ScanRequest(ORDERS, ("n",), splits=16, aggregate=groups))
        assert (plan.aggregated, len(plan.splits)) == (True, 2)  # groups, and the odd ones
        assert drained(connector, replace(plan, splits=plan.splits[:1])).to_pylist() == [{"key 0": 1, "measure 0": 2}]
        (_, asked) = server.commands("aggregate")
        assert [next(iter(stage)) for stage in asked["pipeline"]] == ["$match", "$group", "$project"]
        assert asked["allowDiskUse"]
        assert {"maxTimeMS", "comment"} <= asked.keys()


def test_a_router_is_told_which_members_to_ask() -> None:
    for given, sent in (({}, "primaryPreferred"), ({"read_preference": "secondary"}, "secondary")):
        with Scripted(lambda name, command: None, msg="isdbgrid") as server, connected(server, **given) as connector:
            assert read(connector) == ROWS
            asked = [*server.commands("listCollections"), *server.commands("find"), *server.commands("collStats")]
            assert asked
            assert {one["$readPreference"]["mode"] for one in asked} == {sent}


def test_groups_that_the_server_gives_up_are_not_handed_on() -> None:
    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name != "aggregate":
            return None
        if "$limit" in command["pipeline"][0]:
            return cursor(bson.Int64(0), *PROOF)
        return answers.pop()

    groups = Aggregate(("n",), (Measure("sum", "n"),))
    told = refusal(292, "Exceeded memory limit for $group")
    wrong = {"k0": 1, "m0": 1, "m1": 5.0, "m2": 5, "m3": 5}
    large = {"k0": 1, "m0": 3, "m1": bson.Int64(2**62), "m2": 1, "m3": bson.Int64(2**61)}
    answers: list[dict[str, Any]] = [told, cursor(bson.Int64(0), wrong), cursor(bson.Int64(0), large)]
    with Scripted(answer) as server, connected(server) as connector:
        for _ in range(3):
            plan = connector.tables.plan(ScanRequest(ORDERS, ("n",), aggregate=groups))
            assert plan.aggregated
            with pytest.raises(NotExact):
                drained(connector, plan)


@pytest.mark.parametrize("now", ["gone", "made again"])
def test_a_cursor_that_ends_with_its_collection_is_no_whole_result(now: str) -> None:
    """FerretDB says so of a collection that is dropped while it is read."""
    more = {"ok": 1.0, "cursor": {"id": bson.Int64(7), "ns": "shop.orders", "firstBatch": ROWS[:1]}}
    end = {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "shop.orders", "nextBatch": []}}

    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name == "listCollections":
            ended = bool(server.commands("getMore"))
            info = {"uuid": bson.Binary(bytes(15) + bytes([ended]), 4)}
            there = [] if ended and now == "gone" else [{"name": "orders", "type": "collection", "info": info}]
            return {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "shop.$cmd.listCollections", "firstBatch": there}}
        if name == "getMore":
            return end
        return more if name == "find" and of_the_scan(command) else None

    expected = pytest.raises(UnknownTable if now == "gone" else SnapshotChanged)
    with Scripted(answer) as server, connected(server) as connector, expected:
        read(connector)


class Busy(Scripted):
    """Answers commands, but once it is busy leaves waiting who looks at how it is."""

    busy = False

    def _said(self, command: dict[str, Any]) -> dict[str, Any] | bytes:
        if self.busy and next(iter(command)) in ("hello", "isMaster", "ismaster"):
            threading.Event().wait(60)
        return super()._said(command)


def test_a_server_that_is_too_busy_to_say_how_it_is_loses_no_statement() -> None:
    """The driver looks every ten seconds, if it is left to itself, and gives up what runs where no answer comes."""
    more = {"ok": 1.0, "cursor": {"id": bson.Int64(7), "ns": "shop.orders", "firstBatch": ROWS[:1]}}
    last = {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "shop.orders", "nextBatch": ROWS[1:]}}

    def answer(name: str, command: dict[str, Any]) -> dict[str, Any] | None:
        if name == "getMore":
            time.sleep(3)
            server.busy = True
            time.sleep(12)
            return last
        return more if name == "find" and of_the_scan(command) else None

    with Busy(answer) as server, connected(server) as connector:
        assert read(connector) == ROWS
