"""Windows: Storm's golden cases, each kind beside a plain definition on random rows, sessions, and what is refused."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from workbench.contract.errors import InvalidParameter, TopologyError, UnknownField, UnknownName
from workbench.streams import Topology, session, sliding, tumbling
from workbench.streams.panes import Fired, Manager, manager
from workbench.streams.windows import WindowSpec
from workbench.testing.clock import seeded


def items(entries: Iterable[tuple[float, Any, Any]]) -> list[Any]:
    return [item for _, item, _ in entries]


def put(one: Manager, *pairs: tuple[int, float]) -> None:
    for item, at in pairs:
        assert one.add(at, item, item)


def told(found: Iterable[Fired]) -> list[tuple[list[Any], list[Any], list[Any]]]:
    return [(items(one.entries), items(one.new), items(one.expired)) for one in found]


# ---- as Storm's own tests have it ----------------------------------------------------------------------------------


def test_storms_window_by_event_time() -> None:
    one = manager(sliding("20ms", every="10ms", time="at"))
    put(one, (1, 603), (2, 605), (3, 607))
    assert told(one.advance(609)) == []
    put(one, (4, 618), (5, 626), (6, 636))
    assert told(one.advance(631)) == [
        ([1, 2, 3], [1, 2, 3], []),
        ([1, 2, 3, 4], [4], []),
        ([4, 5], [5], [1, 2, 3]),
    ]
    put(one, (7, 825), (8, 826), (9, 827), (10, 839))
    assert told(one.advance(834)) == [([5, 6], [6], [4]), ([6], [], [5]), ([7, 8, 9], [7, 8, 9], [])]


def test_storms_sliding_window_of_rows() -> None:
    one, found = manager(sliding(5, every=2)), []
    for number in range(1, 9):
        put(one, (number, 0))
        found += told(one.advance(0))
    assert found == [
        ([1, 2], [1, 2], []),
        ([1, 2, 3, 4], [3, 4], []),
        ([2, 3, 4, 5, 6], [5, 6], [1]),
        ([4, 5, 6, 7, 8], [7, 8], [2, 3]),
    ]


def test_storms_tumbling_window_of_rows() -> None:
    one, found = manager(tumbling(3)), []
    for number in range(1, 7):
        put(one, (number, 0))
        found += told(one.advance(0))
    assert found == [([1, 2, 3], [1, 2, 3], []), ([4, 5, 6], [4, 5, 6], [1, 2, 3])]


def test_the_first_window_ends_at_a_multiple_of_the_slide_and_includes_its_end() -> None:
    one = manager(tumbling("10ms", time="at"))
    put(one, (1, 601), (2, 610), (3, 611))
    (first,) = one.advance(610)
    assert (first.start, first.end, items(first.entries)) == (600, 610, [1, 2])
    assert not one.add(610, 4, 4)  # its only window is out
    (last,) = one.finish()
    assert (last.end, items(last.entries)) == (620, [3])


# ---- each kind beside its definition -------------------------------------------------------------------------------


def aligned(length: float, every: float, rows: list[tuple[float, int]]) -> list[tuple[float, list[int]]]:
    if not rows:
        return []
    first, last = min(at for at, _ in rows), max(at for at, _ in rows)
    ends = [number * every for number in range(math.ceil(first / every), math.ceil((last + length) / every) + 1)]
    found = [(end, sorted(item for at, item in rows if end - length < at <= end)) for end in ends]
    return [(end, inside) for end, inside in found if inside]


@pytest.mark.parametrize(("length", "every"), [(10, 10), (30, 10), (25, 10), (10, 25), (7, 3), (100, 1)])
def test_windows_by_time_are_what_the_definition_says(length: int, every: int) -> None:
    chance = seeded()
    for _ in range(150):
        spread, lag = chance.choice((50, 400)), chance.choice((0, 5, 60))
        rows = [(float(number * chance.choice((0, 1, 3)) % spread + number), number) for number in range(60)]
        one = manager(sliding(f"{length}ms", every=f"{every}ms", time="at"))
        taken, found, top, held = [], [], -math.inf, 0
        for at, item in rows:
            if one.add(at, item, item):
                taken.append((at, item))
            else:  # late: every window that it belongs to is out
                assert all(end <= top - lag for end, _ in aligned(length, every, [(at, item)])), repr(chance)
            top = max(top, at)
            found += [(window.end, sorted(items(window.entries))) for window in one.advance(top - lag)]
            held = max(held, one.rows)
        found += [(window.end, sorted(items(window.entries))) for window in one.finish()]
        ends = [end for end, _ in found]
        assert ends == sorted(ends)
        # A row that came after some of its windows is in the later ones only, so none has more than it should.
        whole = dict(aligned(length, every, taken))
        assert all(set(inside) <= set(whole[end]) for end, inside in found if end is not None), repr(chance)
        if lag == 60 and length == every:
            assert dict(found) == whole, repr(chance)
        assert sorted(one.evicted) == sorted(item for _, item in taken), f"{chance!r}: each hold is let go once"
        assert one.rows == 0


LENGTHS = [(10, 10), (30, 10), (60, 10), (25, 10), (10, 25), (7, 3)]


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(LENGTHS),
    st.lists(st.tuples(st.integers(0, 160), st.sampled_from((None, -100, -60, -25, 0)), st.booleans()), max_size=12),
)
def test_each_row_that_is_taken_is_in_every_window_of_it_that_is_not_out(
    lengths: tuple[int, int], steps: list[tuple[int, int | None, bool]]
) -> None:
    length, every = lengths
    one = manager(sliding(f"{length}ms", every=f"{every}ms", time="at"))
    taken: list[tuple[int, int]] = []
    found, told_so_far, mark, out = [], [], -math.inf, -math.inf

    def advanced(upto: float) -> list[tuple[float, list[int]]]:
        """The definition: each window that ends after the last one that was out, and by now, as long as it has rows."""
        ends = [end for end in range(0, 1000, every) if out < end <= upto]
        windows = [(end, sorted(item for at, item in taken if end - length < at <= end)) for end in ends]
        return [(end, inside) for end, inside in windows if inside]

    for item, (at, step, looked) in enumerate(steps):
        last = max(math.ceil(at / every), math.ceil((at + length) / every) - 1) * every
        accepted = one.add(at, item, item)
        assert accepted == (last > out)
        if accepted:
            taken.append((at, item))
        if step is not None:
            mark = max(mark, at + step)
            if not looked or mark >= one.next_end():  # as a task does, or in any case
                told_so_far += advanced(mark)
                found += [(window.end, sorted(items(window.entries))) for window in one.advance(mark)]
                out = max(out, math.floor(mark / every) * every)
    told_so_far += advanced(math.inf)
    found += [(window.end, sorted(items(window.entries))) for window in one.finish()]
    assert found == told_so_far
    assert sorted(one.evicted) == [item for _, item in taken]


def test_a_row_that_comes_after_a_gap_was_passed_by_is_in_its_windows() -> None:
    one = manager(sliding("60ms", every="10ms", time="at"))
    put(one, (1, 10), (2, 200))
    ends = [window.end for window in one.advance(100)]
    assert ends == [10, 20, 30, 40, 50, 60]
    put(one, (3, 85))
    assert one.next_end() == 110
    assert [(window.end, items(window.entries)) for window in one.advance(140)] == [
        (110, [3]),
        (120, [3]),
        (130, [3]),
        (140, [3]),
    ]


def test_slides_in_which_no_row_came_hand_nothing_out() -> None:
    gap = 1_700_000_000_000
    one = manager(sliding(3, every="5ms", time="at"))
    put(one, (1, 1), (2, 7), (3, gap))
    assert [(window.end, items(window.entries)) for window in one.advance(gap)] == [
        (5, [1]),
        (10, [1, 2]),
        (gap, [1, 2, 3]),
    ]
    put(one, (4, gap))  # its window is out, and those after it are not
    assert [(window.end, items(window.entries), items(window.new)) for window in one.finish()] == [
        (gap + 5, [2, 3, 4], [4])
    ]


def test_a_session_costs_its_rows_once() -> None:
    """Looks at its list of rows, for time says little: it is one list, to which rows are put."""
    one = manager(session("10ms", time="at"))
    put(one, (0, 0))
    (mine,) = one._open[()]  # type: ignore[attr-defined]
    entries = mine.entries
    put(one, *((number, number) for number in range(1, 1000)))
    put(one, (1000, 1015), (1001, 1007))  # one of its own, and then what makes both one
    assert one._open[()] == [mine]  # type: ignore[attr-defined]
    assert mine.entries is entries
    assert len(one._ends) == 2  # type: ignore[attr-defined]
    (window,) = one.advance(1026)
    assert (window.start, window.end, len(window.entries)) == (0, 1015, 1002)
    assert items(window.entries)[-2:] == [1001, 1000]


def test_the_last_rows_every_so_long_and_the_last_so_long_every_so_many_rows() -> None:
    rows = [(number, float(number * 4)) for number in range(1, 11)]
    one = manager(sliding(3, every="10ms", time="at"))
    put(one, *rows)
    assert [(window.end, items(window.entries)) for window in one.advance(31)] == [
        (10, [1, 2]),
        (20, [3, 4, 5]),
        (30, [5, 6, 7]),
    ]
    assert [(window.end, items(window.entries)) for window in one.finish()] == [(40, [8, 9, 10])]
    assert sorted(one.evicted) == list(range(1, 11))
    one = manager(sliding("10ms", every=4, time="at"))
    put(one, *rows)
    assert [(window.end, items(window.entries)) for window in one.advance(40)] == [(16, [2, 3, 4]), (32, [6, 7, 8])]
    assert [items(window.entries) for window in one.finish()] == [[8, 9, 10]]
    assert sorted(one.evicted) == list(range(1, 11))


def test_each_row_can_be_a_slide() -> None:
    one = manager(sliding(2))
    found = []
    for number in range(3):
        put(one, (number, 0))
        found += [items(window.entries) for window in one.advance(0)]
    assert found == [[0], [0, 1], [1, 2]]
    one = manager(sliding("5ms", time="at"))
    put(one, (1, 10), (2, 12), (3, 16))
    assert [items(window.entries) for window in one.advance(16)] == [[1], [1, 2], [2, 3]]


def sessions(gap: int, rows: list[tuple[float, int]]) -> list[list[int]]:
    found: list[list[int]] = []
    last = -math.inf
    for at, item in sorted(rows):
        if at - last > gap:
            found.append([])
        found[-1].append(item)
        last = at
    return sorted(sorted(one) for one in found)


def test_sessions_by_key_whatever_the_order() -> None:
    chance = seeded()
    for _ in range(200):
        rows = [(float(chance.randrange(400)), number, chance.choice("ab")) for number in range(40)]
        one = manager(session("10ms", by="user", time="at"))
        for at, item, key in rows:
            assert one.add(at, item, item, (key,))
        found = list(one.finish())
        for key in "ab":
            mine = sorted(sorted(items(window.entries)) for window in found if window.key == (key,))
            assert mine == sessions(10, [(at, item) for at, item, of in rows if of == key]), repr(chance)
        assert sorted(one.evicted) == list(range(40))


def test_a_session_is_out_when_the_watermark_has_passed_its_gap_and_what_comes_then_is_late() -> None:
    one = manager(session("10ms", time="at"))
    put(one, (1, 100), (2, 108))
    assert list(one.advance(118)) == []
    put(one, (3, 118))  # still within the gap
    (window,) = one.advance(128.5)
    assert (window.start, window.end, items(window.entries)) == (100, 118, [1, 2, 3])
    assert not one.add(110, 4, 4)
    assert one.add(119, 5, 5)  # one of its own, whose gap is not over
    assert [items(found.entries) for found in one.finish()] == [[5]]


# ---- how they are said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: tumbling(0), "is 0; it is rows, 1 or more"),
        (lambda: tumbling("soon"), "'soon'"),
        (lambda: tumbling(5, time="at"), "a window of rows alone has none"),
        (lambda: tumbling("1s", lag="1s"), "without `time`"),
        (lambda: Topology("t").bolt("b", print, inputs="s", window="1m"), "'1m'; say tumbling"),
    ],
)
def test_what_is_no_window_is_refused(build: Any, says: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        build()
    assert says in str(raised.value)


def test_a_window_must_fit_its_stream_and_the_message_timeout() -> None:
    def t(**config: Any) -> Topology:
        return Topology("t", **config).spout("s", lambda: iter(()), outputs=("at", "page"))

    with pytest.raises(UnknownField, match="`when`"):
        t().bolt("b", print, inputs="s", window=tumbling("1s", time="when")).check()
    with pytest.raises(TopologyError, match="holds tuples for up to 7200 s"):
        t(message_timeout="1m").bolt("b", print, inputs="s", window=tumbling("1h")).check()
    long = t().bolt("b", print, inputs="s", window=sliding("1h", every="5m", time="at", lag="30s"))
    long.check()
    assert long.config["message_timeout"] == 2 * (3600 + 300 + 30)


def test_there_is_no_setting_that_nothing_reads() -> None:
    with pytest.raises(UnknownName, match="No setting of a topology `watermark_every`"):
        Topology("t", watermark_every="1s")


def test_a_window_is_told_and_kept() -> None:
    for spec, says in (
        (tumbling("1m", time="at", lag="5s"), "tumbling(60 s) of at"),
        (sliding(100, every="5s"), "sliding(100 rows every 5 s)"),
        (session("30m", by=("user", "site"), time="at"), "session(1800 s by user, site) of at"),
    ):
        assert str(spec) == says
        assert WindowSpec.of_document(spec.document()) == spec


def test_random_rows_are_handed_back_once() -> None:
    """Every kind, with late rows and watermarks by chance: what was taken is evicted once, by the end."""
    chance = seeded()
    kinds = [
        *(tumbling(4), sliding(7, every=3), sliding(3, every=7), sliding("20ms", every=3, time="at")),
        *(sliding(5, every="10ms", time="at"), sliding("30ms", every="7ms", time="at"), tumbling("10ms", time="at")),
        *(sliding("5ms", every="20ms", time="at"), session("6ms", time="at")),
    ]
    for _ in range(120):
        spec = chance.choice(kinds)
        one, taken, mark = manager(spec), [], -math.inf
        local = random.Random(chance.getrandbits(32))
        for number in range(local.randrange(60)):
            if one.add(float(local.randrange(200)), number, number):
                taken.append(number)
            if local.random() < 0.3:
                mark = max(mark, local.randrange(220))
                list(one.advance(mark))
        list(one.finish())
        assert sorted(one.evicted) == taken, f"{spec} of {chance!r}"
