"""Storm's ledger: verdicts, rotation, and 5,000 schedules by chance with messages late, out of order or lost."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from workbench.streams.acker import Acker, RotatingMap, Verdict
from workbench.testing.clock import seeded

SCHEDULES = 5_000


def test_init_and_acks_in_any_order() -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        acker = Acker()
        messages = [(acker.init, (7, 0b110, 3)), (acker.ack, (7, 0b100)), (acker.ack, (7, 0b010))]
        verdicts = [call(*given) for call, given in (messages[place] for place in order)]  # type: ignore[operator]
        assert verdicts == [None, None, Verdict(7, 3, True)]
        assert len(acker) == 0


def test_a_failure_is_told_at_once_and_before_init_when_the_spout_is_known() -> None:
    acker = Acker()
    acker.init(1, 5, 0)
    assert acker.fail(1) == Verdict(1, 0, False)
    assert acker.fail(2) is None
    assert acker.init(2, 5, 4) == Verdict(2, 4, False)


def test_a_value_of_zero_before_init_is_no_verdict() -> None:
    acker = Acker()
    assert acker.ack(1, 6) is None
    assert acker.ack(1, 6) is None  # 0 now, and the spout is not known
    assert acker.init(1, 0, 0) == Verdict(1, 0, True)


def test_a_record_lives_for_two_rotations_and_is_gone_with_the_third() -> None:
    acker = Acker()
    acker.init(1, 5, 0)
    assert (acker.rotate(), acker.rotate(), acker.rotate()) == ([], [], [1])


def test_acks_do_not_make_it_younger_and_reset_timeout_does() -> None:
    acker = Acker()
    acker.init(1, 5, 0)
    acker.init(2, 5, 0)
    acker.rotate()
    acker.rotate()
    acker.ack(1, 9)
    acker.reset_timeout(2)
    assert acker.rotate() == [1]
    assert acker.ack(2, 5) == Verdict(2, 0, True)


def test_a_rotating_map() -> None:
    kept: RotatingMap[str, int] = RotatingMap(2)
    kept.put("a", 1)
    kept.rotate()
    kept.put("b", 2)
    assert (kept.get("a"), kept.get("b"), kept.get("c"), len(kept), "a" in kept) == (1, 2, None, 2, True)
    kept.put("a", 3)  # young again
    assert kept.rotate() == {}
    assert kept.remove("a") == 3
    assert kept.rotate() == {"b": 2}
    assert kept.remove("b") is None


@dataclass
class Tree:
    """A root's tree, made by chance, and what became of it."""

    root: int
    edges: list[int] = field(default_factory=list)
    messages: list[tuple[str, int]] = field(default_factory=list)
    fails: bool = False
    loses: bool = False
    verdicts: list[bool] = field(default_factory=list)


def tree(root: int, chance: random.Random) -> Tree:
    """Its messages: an init, and an ack or a fail of each tuple."""
    made = Tree(root)

    def grown(depth: int) -> int:
        edge = chance.getrandbits(64)
        emitted = 0
        for _ in range(chance.choice((0, 0, 1, 2, 3)) if depth < 4 else 0):
            emitted ^= grown(depth + 1)
        if chance.random() < 0.03:
            made.fails = True
            made.messages.append(("fail", 0))
        else:
            made.messages.append(("ack", edge ^ emitted))
        return edge

    value = 0
    for _ in range(chance.choice((1, 1, 2))):
        value ^= grown(0)
    made.messages.append(("init", value))
    if chance.random() < 0.1:
        lost = chance.randrange(len(made.messages))
        what, _ = made.messages.pop(lost)
        made.loses = what != "fail"
        made.fails = any(name == "fail" for name, _ in made.messages)
        if what == "fail":
            made.loses = True
    return made


def test_simulated_schedules() -> None:
    chance = seeded()
    for _ in range(SCHEDULES):
        seed = chance.getrandbits(32)
        schedule(random.Random(seed), f"schedule {seed} of {chance!r}")


def schedule(chance: random.Random, name: str) -> None:
    """The spout's map has two buckets and is rotated with the acker's; messages come in any order between ticks."""
    acker, pending = Acker(), RotatingMap[int, Tree](2)
    trees = [tree(root, chance) for root in range(chance.randrange(1, 8))]
    waiting = [(one, message) for one in trees for message in one.messages]
    chance.shuffle(waiting)
    for one in trees:
        pending.put(one.root, one)

    def told(verdict: Verdict | None) -> None:
        if verdict is not None:
            found = pending.remove(verdict.root)
            assert found is not None, f"{name}: a verdict for {verdict.root} twice"
            assert verdict.task == verdict.root % 5, name
            found.verdicts.append(verdict.acked)

    for one, (what, value) in waiting:
        if what == "init":
            told(acker.init(one.root, value, one.root % 5))
        elif what == "ack":
            told(acker.ack(one.root, value))
        else:
            told(acker.fail(one.root))
    for _ in range(2):
        acker.rotate()
        for found in pending.rotate().values():
            found.verdicts.append(False)
    for one in trees:
        assert one.verdicts == [not one.fails and not one.loses], f"{name}: tree {one.root} {one.messages}"
    assert len(pending) == 0
    for _ in range(3):
        acker.rotate()
    assert len(acker) == 0, f"{name}: records are left"
