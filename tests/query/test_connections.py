"""Connections of a source that are bounded: later reads wait, say so and heed Stop, and no two wait for each other."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.query.support import World, eventually
from workbench.contract.errors import Cancelled
from workbench.execution.cluster_worker import AT_ONCE, Turn
from workbench.kit.slots import Slots, bound, slots_of

SMALL: dict[str, Any] = {"batch_rows": 10, "splits": 2}
"""A thousand batches, of which a queue holds 256: readers wait for who takes their rows."""
ROWS = 10_000


@pytest.fixture
def shop(world: World) -> World:
    world.put("a", {"id": range(ROWS), "x": range(ROWS)})
    world.put("b", {"id": range(ROWS), "y": range(ROWS)})
    for name in ("one", "other"):
        world.catalog.add(name, world.source, a=SMALL, b=SMALL)
    world.catalog.add("held", world.source, a={"hold_after": 1, "splits": 1, "batch_rows": 10})
    return world


def limited(world: World, name: str, most: int) -> Slots:
    connector = world.catalog.open(name)
    bound(connector, most + max(1, most // 3))  # a quarter of them is for questions
    found = slots_of(connector)
    assert found is not None
    assert found.most == most
    return found


def _said(result: Any) -> str:
    return str(result._execution.job.said())


JOIN = "select count(*), sum(x), sum(y) from {}.a join {}.b using (id)"
JOINED = [(ROWS, sum(range(ROWS)), sum(range(ROWS)))]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_join_of_tables_of_one_connection_comes_to_its_end(most: int, shop: World) -> None:
    slots = limited(shop, "one", most)
    assert shop.rows(JOIN.format("one", "one")) == JOINED
    assert shop.rows("select count(*) from one.a p join one.b q using (id) join one.a r on r.x = p.id") == [(ROWS,)]
    eventually(lambda: slots.busy == 0)


@pytest.mark.parametrize("most", [1, 2])
def test_statements_over_two_connections_do_not_wait_for_each_other(most: int, shop: World) -> None:
    slots = [limited(shop, name, most) for name in ("one", "other")]
    found: list[object] = []

    def work(text: str) -> None:
        try:
            found.append(shop.rows(text))
        except BaseException as error:  # noqa: BLE001
            found.append(error)

    texts = [JOIN.format(*pair) for pair in (("one", "other"), ("other", "one"), ("one", "one"))] * 3
    threads = [threading.Thread(target=work, args=(text,), daemon=True) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == [JOINED] * 9
    eventually(lambda: all(one.busy == 0 for one in slots))


@pytest.mark.parametrize(
    "text",
    [
        "select * from held.a",
        "select sum(x) from held.a where id % 3 = 1",
        "select count(*) from held.a join one.b using (id)",
    ],
    ids=["as it is", "added up", "joined"],
)
def test_who_waits_says_so_and_can_be_stopped(text: str, shop: World) -> None:
    slots, _ = limited(shop, "held", 1), limited(shop, "one", 4)
    held = slots.ticket()
    result = shop.session.sql(text).start()
    eventually(lambda: _said(result) == "waits for a connection", 30)
    result.cancel()
    with pytest.raises(Cancelled):
        result.wait()
    eventually(lambda: not slots.wanted, 30)
    assert slots.busy == 1
    held.leave()
    eventually(shop.quiet, 30)


def test_who_waits_goes_on_when_it_is_its_turn(shop: World) -> None:
    slots = limited(shop, "held", 1)
    first = shop.session.sql("select * from held.a").start()
    eventually(lambda: slots.busy == 1 and bool(shop.source.running()), 30)
    second = shop.session.sql("select * from held.a").start()
    eventually(lambda: slots.wanted, 30)
    assert len(shop.source.running()) == 1
    first.cancel()
    eventually(lambda: not slots.wanted and bool(shop.source.running()), 30)
    second.cancel()
    eventually(lambda: slots.busy == 0 and shop.quiet(), 30)


def test_a_long_read_takes_more_connections_only_while_nobody_waits(shop: World) -> None:
    """Its first reader has one; the others give theirs back after a split."""
    slots = limited(shop, "one", 2)
    reader = shop.session.sql("select * from one.a").reader()
    reader.read_next_batch()
    eventually(lambda: slots.busy == 2, 30)
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(shop.rows("select count(*) from one.b")), daemon=True)
    thread.start()
    rest = sum(batch.num_rows for batch in reader)
    thread.join(60)
    assert rest > 0
    assert found == [[(ROWS,)]]
    eventually(lambda: slots.busy == 0, 30)


@pytest.mark.parametrize("most", [1, 2, 12])
def test_readers_whose_rows_nobody_takes_do_not_stop_other_statements(most: int, shop: World) -> None:
    """As in a notebook that looks things up while it goes through the rows of another statement."""
    slots = limited(shop, "one", most)
    readers = [shop.session.sql("select * from one.a").batches() for _ in range(3)]
    for reader in readers[:most]:
        next(reader)
    found: list[object] = []
    texts = ["select count(*) from one.b", "select count(*) from one.a join one.b using (id)"]
    thread = threading.Thread(target=lambda: found.extend(shop.rows(text) for text in texts), daemon=True)
    thread.start()
    thread.join(60)
    assert found == [[(ROWS,)]] * 2
    for reader in readers:
        reader.close()  # type: ignore[attr-defined]
    eventually(lambda: slots.busy == 0, 30)


def test_a_statement_over_a_result_of_the_same_connection_comes_to_its_end(shop: World) -> None:
    """The result is asked for while the other table's reader has the only slot."""
    slots = limited(shop, "one", 1)
    shop.variables["r"] = shop.session.sql("select * from one.a")
    found: list[object] = []
    text = "select count(*) from r join one.b using (id)"
    thread = threading.Thread(target=lambda: found.append(shop.rows(text)), daemon=True)
    thread.start()
    thread.join(60)
    assert found == [[(ROWS,)]]
    eventually(lambda: slots.busy == 0, 30)


def test_a_cluster_reads_by_all_names_of_a_source_within_one_bound() -> None:
    """A name with fewer connections has its own bound, within that of the source."""
    narrow, wide = (Turn("a source of this test", most) for most in (2, AT_ONCE))
    held = [Turn("a source of this test", 2) for _ in range(2)] + [
        Turn("a source of this test", AT_ONCE) for _ in range(AT_ONCE - 3)
    ]
    for turn in held:
        turn.__enter__()
    let_in = list[str]()

    def enter(name: str, turn: Turn) -> None:
        with turn:
            let_in.append(name)

    threads = [threading.Thread(target=enter, args=("narrow", narrow), daemon=True)]
    threads[0].start()
    with wide:  # one of the source is free, none of the narrower
        assert let_in == []
    held.pop(0).__exit__(None, None, None)
    threads[0].join(60)
    assert let_in == ["narrow"]
    held.append(Turn("a source of this test", AT_ONCE))
    held.append(Turn("a source of this test", AT_ONCE))
    for turn in held[-2:]:
        turn.__enter__()
    threads = [threading.Thread(target=enter, args=("late", Turn("a source of this test", 2)), daemon=True)]
    threads[0].start()
    threads[0].join(0.1)
    assert let_in == ["narrow"]  # its own has one free, the source has none
    for turn in held:
        turn.__exit__(None, None, None)
    threads[0].join(60)
    assert let_in == ["narrow", "late"]


def test_one_turn_may_be_entered_by_several_at_a_time() -> None:
    turn, together = Turn("another source of this test", 2), threading.Barrier(2, timeout=60)
    passed = list[int]()

    def enter(number: int) -> None:
        with turn:
            together.wait()  # so two are in it, each time
            passed.append(number)

    for rounds in range(3):
        threads = [threading.Thread(target=enter, args=(number,), daemon=True) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(passed) == 4 * (rounds + 1)
