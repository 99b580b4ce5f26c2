"""Slots: who waits, who is let in, in which order, and that nothing is lost or counted twice."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from hypothesis import given, strategies as st

from workbench.contract.errors import Cancelled, LimitExceeded, SourceFull
from workbench.kit import slots as kit
from workbench.kit.slots import Slots, Ticket, all_of, asked, bound, slots_of


def never() -> bool:
    return False


def test_those_who_come_later_wait_in_their_order() -> None:
    slots = Slots(2)
    first, second, third, fourth = (slots.ticket() for _ in range(4))
    assert [one.granted for one in (first, second, third, fourth)] == [True, True, False, False]
    second.leave()
    assert (third.granted, fourth.granted) == (True, False)
    first.leave()
    assert fourth.granted
    third.leave()
    fourth.leave()
    assert slots.busy == 0
    fourth.leave()  # once more means nothing
    assert slots.busy == 0


def test_several_are_granted_whole_or_not_at_all_and_nobody_overtakes() -> None:
    slots = Slots(3)
    one, both, late = slots.ticket(), slots.ticket(3), slots.ticket()
    assert (one.granted, both.granted, late.granted) == (True, False, False)
    assert slots.more() is None  # two are free, and somebody waits for them
    one.leave()
    assert (both.granted, late.granted) == (True, False)
    both.leave()
    assert late.granted
    assert slots.busy == 3


def test_one_who_waits_no_more_lets_the_next_in() -> None:
    slots = Slots(2)
    held, wide, next_ = slots.ticket(), slots.ticket(2), slots.ticket()
    wide.leave()
    assert wide.granted  # it needs but one now
    wide.leave()
    assert next_.granted
    assert not next_.slots.wanted
    held.leave()


def test_more_than_there_are_is_all_that_there_are() -> None:
    assert Slots(2).ticket(5).granted


def test_more_leaves_a_quarter_to_others() -> None:
    slots = Slots(4)
    slots.ticket()
    assert slots.more() is not None
    assert slots.more() is not None
    assert slots.more() is None
    assert slots.ticket().granted


def test_where_all_sleep_the_next_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = Slots(2)
    tickets = [slots.ticket(), slots.ticket()]
    slots.sleeps(1)
    slots.sleeps(2)
    waiting = slots.ticket(2)
    assert not waiting.wait(never, 0.1)  # they have only just begun to
    monkeypatch.setattr(kit, "ASLEEP", 0.0)
    slots.wakes(2)
    assert not waiting.wait(never, 0.1)
    slots.sleeps(2)
    assert waiting.wait(never, 60)
    assert slots.busy == 4
    late = slots.ticket()
    assert not late.wait(never, 0.1)  # not all sleep: two work
    waiting.leave()
    waiting.leave()
    assert late.granted or late.wait(never, 60)
    late.leave()
    for who, ticket in enumerate(tickets, 1):
        slots.wakes(who)
        ticket.leave()
    assert slots.busy == 0


def test_forced_ones_do_not_wait_and_are_counted() -> None:
    slots = Slots(1)
    held, forced, waiting = slots.ticket(), slots.forced(), slots.ticket()
    assert forced.granted
    held.leave()
    assert not waiting.granted
    forced.leave()
    assert waiting.granted


def test_sources_are_taken_in_one_order_whoever_asks() -> None:
    """Two who want one of each, named the other way round, never hold what the other waits for."""
    one, other = Slots(1), Slots(1)
    done = []

    def work(*wanted: Slots) -> None:
        for _ in range(300):
            tickets = all_of(wanted, never)
            assert tickets is not None
            for ticket in tickets:
                ticket.leave()
        done.append(wanted)

    threads = [threading.Thread(target=work, args=pair, daemon=True) for pair in ((one, other), (other, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 2


def test_what_is_given_up_is_given_back() -> None:
    one, other = Slots(1), Slots(1)
    held = other.ticket()
    assert all_of([one, one, other], lambda: one.busy == 1) is None
    assert (one.busy, other.busy, other.wanted) == (0, 1, False)
    held.leave()


@given(st.integers(1, 4), st.lists(st.one_of(st.integers(1, 5), st.just("leave"), st.just("more")), max_size=40))
def test_never_more_than_most_and_nothing_is_lost(most: int, steps: list[Any]) -> None:
    slots, tickets = Slots(most), list[Ticket]()
    for step in steps:
        if step == "leave":
            for ticket in [one for one in tickets if one.granted][:1]:
                ticket.leave()
        elif step == "more":
            tickets += [one for one in [slots.more()] if one is not None]
        else:
            tickets.append(slots.ticket(step))
        tickets = [one for one in tickets if one.count]
        assert slots.busy == sum(one.count for one in tickets if one.granted) <= most
        waiting = [one for one in tickets if not one.granted]
        assert slots.wanted == bool(waiting)
        assert not waiting or slots.busy + waiting[0].count > most
    while tickets:
        granted = next(one for one in tickets if one.granted)
        granted.leave()
        tickets = [one for one in tickets if one.count]
    assert slots.busy == 0


class Connector:
    """Anything that can be referred to weakly."""


def test_a_question_waits_for_its_turn_and_says_so() -> None:
    connector, told = Connector(), list[bool]()
    bound(connector, 1)
    slots = kit._bounds[connector][1]
    held = slots.ticket()

    def waits(now: bool) -> None:
        told.append(now)
        held.leave()

    assert asked(connector, lambda: 7, on_wait=waits) == 7
    assert told == [True, False]
    assert slots.busy == 0


def test_a_question_that_is_stopped_or_waits_too_long_leaves_the_queue() -> None:
    connector = Connector()
    bound(connector, 1)
    slots = kit._bounds[connector][1]
    held = slots.ticket()
    with pytest.raises(Cancelled):
        asked(connector, lambda: 7, stopped=lambda: True)
    with pytest.raises(LimitExceeded, match="`connections` of 1"):
        asked(connector, lambda: 7, seconds=0)
    assert not slots.wanted
    held.leave()


def test_a_server_that_is_full_is_asked_again_and_an_error_gives_the_slot_back(monkeypatch: pytest.MonkeyPatch) -> None:
    connector, times = Connector(), list[int]()
    bound(connector, 1)

    def work() -> int:
        times.append(1)
        if len(times) < 3:
            raise SourceFull("here:1", "Too many connections")
        return 7

    assert asked(connector, work) == 7
    monkeypatch.setattr(kit, "PATIENCE", 0)
    times.clear()
    with pytest.raises(SourceFull, match="smaller `connections`"):
        asked(connector, work)
    assert kit._bounds[connector][1].busy == 0


@pytest.mark.parametrize(("most", "reads", "questions"), [(1, 1, 1), (2, 1, 1), (3, 2, 1), (8, 6, 2), (16, 12, 4)])
def test_a_quarter_is_for_questions(most: int, reads: int, questions: int) -> None:
    connector = Connector()
    bound(connector, most)
    assert tuple(one.most for one in kit._bounds[connector]) == (reads, questions)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_finds_all_slots_free() -> None:
    connector = Connector()
    bound(connector, 2)
    slots = slots_of(connector)
    assert slots is not None
    slots.ticket()
    child = os.fork()
    if child == 0:
        os._exit(0 if slots.busy == 0 and slots.ticket().granted else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert slots.busy == 1


@pytest.mark.parametrize("most", [None, 0, True, "4"])
def test_what_is_no_number_bounds_nothing(most: object) -> None:
    connector = Connector()
    bound(connector, most)
    assert slots_of(connector) is None
    assert asked(connector, lambda: 7) == 7


def test_what_cannot_be_referred_to_is_not_bounded() -> None:
    bound([], 3)
    assert slots_of([]) is None
