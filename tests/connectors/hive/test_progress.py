"""What the server says of its own work, as it comes to a control: vertices of the engine, else the log's last line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.connectors.hive.replies import column, fetched, reply
from tests.connectors.hive.scripted import LOG, Scripted, split_of
from tests.connectors.hive.store import config
from tests.services.hive.server import Hive
from workbench.kit import thrift
from workbench.testing.control import RecordingControl
from workbench_hive.connector import HiveConnector
from workbench_hive.progress import vertices

_HEAD = [b"VERTICES", b"MODE", b"STATUS", b"TOTAL", b"COMPLETED"]


def row(name: bytes, total: bytes, completed: bytes) -> list[bytes]:
    return [name, b"container", b"RUNNING", total, completed]


def test_vertices_are_named_with_what_they_have_done() -> None:
    update = {1: _HEAD, 2: [row(b"Map 1 .....", b"10", b"3"), row(b"Reducer 2", b"-1", b"0")], 3: 0.25}
    assert vertices(update) == ("Map 1 3/10, Reducer 2 0/?", 0.25)
    assert vertices({**update, 3: 7.5}) == ("Map 1 3/10, Reducer 2 0/?", None)


@pytest.mark.parametrize(
    "update",
    [
        None,
        7,
        {},
        {1: [], 2: []},
        {1: _HEAD, 2: []},
        {1: _HEAD, 2: [[b"a"]]},
        {1: _HEAD, 2: [row(b"a", b"x", b"1")]},
        {1: _HEAD, 2: 5},
        {1: [1, 2], 2: [b"x"]},
    ],
)
def test_what_is_no_progress_says_nothing(update: Any) -> None:
    assert vertices(update) == ("", None)


def test_without_vertices_it_is_the_newest_line_of_the_log() -> None:
    lines = [[b"INFO  : Compiling", b"INFO  : Stage-1 map = 40%", b""], []]
    asked: list[int] = []

    def answer(name: str, number: int) -> bytes | None:
        if name != LOG or len(asked) == len(lines):
            return None
        asked.append(number)
        return fetched([column("string", lines[len(asked) - 1])], number)

    assert said(answer) == ["Stage-1 map = 40%"]


def test_a_log_of_another_shape_breaks_no_scan() -> None:
    def answer(name: str, number: int) -> bytes | None:
        return fetched([column("i64", [1])], number) if name == LOG else None

    assert said(answer) == []


def test_a_server_without_a_log_is_asked_once_and_read_all_the_same() -> None:
    told = {1: (thrift.STRUCT, {1: (thrift.I32, 3), 5: (thrift.STRING, b"Couldn't find log associated")})}
    asked: list[int] = []

    def answer(name: str, number: int) -> bytes | None:
        if name != LOG or asked:
            return None
        asked.append(number)
        return reply("FetchResults", number, told)

    assert said(answer) == []


def said(answer: Any) -> list[str]:
    """What a control hears while a server works, whose rows then come all the same."""
    control = RecordingControl()
    with Scripted(answer=answer, states=(1, 1, 2)) as server:
        connector = HiveConnector(server.config())
        batches = list(connector.tables.read(split_of(), control))
        connector.close()
    assert [value for batch in batches for value in batch.column(0).to_pylist()] == [1, 2, 3]
    assert control.said[:2] == [("opens a session", None), ("", None)]
    return [text for text, _ in control.said[2:]]


def test_a_real_engine_says_its_vertices(hive: Hive) -> None:
    connector, control = HiveConnector(config(hive)), RecordingControl()
    split = connector.tables.native(
        "select a, count(*) from (select explode(array(1, 2, 2)) as a) t group by a"
    ).splits[0]
    assert sum(batch.num_rows for batch in connector.tables.read(split, control)) == 2
    connector.close()
    assert any("Reducer 2" in text for text, _ in control.said), control.said
    assert all(part is None or 0 <= part <= 1 for _, part in control.said)
