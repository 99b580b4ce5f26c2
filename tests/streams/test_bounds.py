"""What a run keeps is bounded in bytes as well as in number, and what was let go is counted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from workbench.streams import Bolt, Topology, bolt, fields, routing, spout
from workbench.streams.given_up import DeadLetter, KeptLetters
from workbench.streams.javahash import deep_hash
from workbench.streams.routing import KeyedPlaces, KeyRoom
from workbench.streams.running import Running

Start = Callable[..., Running]


def test_dead_letters_are_bounded_by_their_bytes_and_the_newest_is_kept_however_large() -> None:
    kept = KeptLetters(keep=10, most=5_000)
    for number in range(100):
        kept.add(DeadLetter((number,), "bolt", "ValueError: no", 1))
    assert [letter.row for letter in kept.all()] == [(number,) for number in range(90, 100)]
    assert kept.all().dropped == 90
    for number in range(4):
        kept.add(DeadLetter((number, b"x" * 2_000), "bolt", "ValueError: no", 1))
    assert [letter.row[0] for letter in kept.all()] == [2, 3]
    kept.add(DeadLetter((4, b"x" * 1_000_000), "bolt", "ValueError: no", 1))
    kept.skip(7)
    found = kept.all()
    assert ([letter.row[0] for letter in found], found.dropped) == ([4], 111)
    assert repr(found).endswith("111 rows before these are not kept")
    assert "<p>111 rows before these are not kept</p>" in found._repr_html_()


def test_a_run_counts_all_and_keeps_what_fits(started: Start) -> None:
    @spout("page")
    def pages() -> Any:
        for number in range(40):
            yield (bytes([number]) * (2 << 20),)

    class Refuses(Bolt):
        def execute(self, tuple: Any) -> None:  # noqa: A002
            raise ValueError("no")

    t = Topology("heavy", max_retries=0, max_spout_pending=1).spout("pages", pages)
    running = started(t.bolt("no", Refuses, inputs="pages")).wait(60)
    letters = running.dead_letters
    assert running.metrics().dead_letters == 40 == len(letters) + letters.dropped
    assert letters[-1].row[0][0] == 39
    assert sum(len(letter.row[0]) for letter in letters) <= 32 << 20


def test_keys_whose_task_is_remembered_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "KEPT_BYTES", 20_000)
    monkeypatch.setattr(routing, "LONGEST", 5_000)
    places = KeyedPlaces(7)
    keys = [f"{number}{'x' * 950}" for number in range(100)]
    assert [places[key] for key in keys] == [deep_hash((key,)) % 7 for key in keys]
    assert 0 < sum(map(sys.getsizeof, places)) <= 20_000
    held = len(places)
    assert places["y" * 6_000] == deep_hash(("y" * 6_000,)) % 7  # too long to be remembered, and clears nothing
    assert len(places) == held
    first, second = {"a": 1}, {"b": 2}
    room = KeyRoom(first, second)
    assert [room.takes("z" * 4_000) for _ in range(4)] == [True] * 4
    assert (first, second) == ({"a": 1}, {"b": 2})
    assert room.takes("z" * 4_000)
    assert (first, second) == ({}, {})


@pytest.mark.parametrize("wide", [False, True])
def test_a_bolt_that_emits_by_key_remembers_no_more(
    wide: bool, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "KEPT_BYTES", 20_000)
    keys = [f"{number}{'x' * 950}" for number in range(500)]
    tasks: dict[str, set[int]] = {}

    @spout("number")
    def numbers() -> Any:
        yield from range(500)

    @bolt("key", "more") if wide else bolt("key")
    def keyed(row: Any) -> Any:
        return [(keys[row.number], 1)] if wide else [keys[row.number], (keys[row.number],)]

    class Takes(Bolt):
        def execute(self, tuple: Any) -> None:  # noqa: A002
            tasks.setdefault(tuple.key, set()).add(self.context.index)

    t = Topology("keyed", sample_every=1_000).spout("numbers", numbers).bolt("keyed", keyed, inputs="numbers")
    before = [sys.getrefcount(key) for key in keys]
    running = started(t.bolt("takes", Takes, inputs=[("keyed", fields("key"))], parallelism=3)).wait(60)
    assert running.state == "done"
    right = all(tasks.pop(key) == {deep_hash((key,)) % 3} for key in keys)
    assert right
    assert not tasks
    after = [sys.getrefcount(key) for key in keys]
    assert 0 < sum(now > then for now, then in zip(after, before, strict=True)) <= 25
