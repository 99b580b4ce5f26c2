"""Names held in memory: pages, searches, schemas; who waits for whom, and when the source is asked again."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from workbench.catalog.listing import FRESH, STALE, Listing, Listings
from workbench.contract.errors import Unreachable
from workbench.contract.scan import TableRef

_NAMES = st.text("ab.%_-A\u00e9\u00df", min_size=1, max_size=4)
_TABLES = st.lists(st.builds(TableRef, _NAMES, st.sampled_from(["a", "ab", "a-b", "b"])), unique_by=str, max_size=30)


@given(
    _TABLES,
    st.none() | st.sampled_from(["a", "ab", "a-b", "b", "c"]),
    st.text("abA.%\u00df", max_size=2),
    st.integers(1, 7),
)
def test_pages_are_what_fits_once_in_order(tables: list[TableRef], schema: str | None, text: str, limit: int) -> None:
    tables = sorted(tables, key=str)
    listing = Listing(tables)
    whole = [str(one) for one in tables] if "." in text else [one.name for one in tables]
    fits = [
        one
        for one, name in zip(tables, whole, strict=True)
        if text.casefold() in name.casefold() and (schema is None or one.schema == schema)
    ]
    seen: list[TableRef] = []
    after: str | None = None
    more = True
    while more:
        page, more, total = listing.search(schema, text, after, limit)
        assert total == len(fits)
        seen += page
        after = str(page[-1]) if page else None
        assert page or not more
    assert seen == fits


def test_schemas_and_patterns() -> None:
    listing = Listing(sorted([TableRef("b"), TableRef("x", "s"), TableRef("Bx", "s"), TableRef("x", "r")], key=str))
    assert listing.schemas == ["r", "s"]
    assert listing.like("b%", None, 9) == [TableRef("b"), TableRef("Bx", "s")]
    assert listing.like("_", "b", 1) == [TableRef("x", "r")]


class _Source:
    def __init__(self) -> None:
        self.asked, self.time, self.cost, self.fault = 0, 0.0, 0.0, False
        self.answered = threading.Event()

    def clock(self) -> float:
        return self.time

    def __call__(self) -> Sequence[TableRef]:
        try:
            self.asked += 1
            self.time += self.cost
            if self.fault:
                raise Unreachable("here", "it is gone", "shop")
            return [TableRef(f"t{self.asked}")]
        finally:
            self.answered.set()


def _first(listings: Listings, source: _Source) -> str:
    found = listings.get(("shop", 1), source)
    assert found is not None
    return found.tables[0].name


def test_a_quick_source_is_asked_again_after_a_minute() -> None:
    source = _Source()
    listings = Listings(source.clock)
    assert [_first(listings, source), _first(listings, source)] == ["t1", "t1"]
    source.time += FRESH
    assert _first(listings, source) == "t2"
    listings.drop("shop")
    assert _first(listings, source) == "t3"


def test_where_it_takes_long_the_old_one_is_shown_meanwhile() -> None:
    source = _Source()
    source.cost = 2.0
    listings = Listings(source.clock)
    assert _first(listings, source) == "t1"
    source.time += FRESH
    source.answered.clear()
    assert _first(listings, source) == "t1"
    assert source.answered.wait(10)
    deadline = threading.Event()
    for _ in range(200):
        if _first(listings, source) == "t2":
            break
        deadline.wait(0.01)
    assert _first(listings, source) == "t2"
    source.time += STALE
    assert _first(listings, source) == "t3"


def test_a_failure_behind_is_told_to_who_asks_next() -> None:
    source = _Source()
    source.cost = 2.0
    listings = Listings(source.clock)
    assert _first(listings, source) == "t1"
    source.time += FRESH
    source.fault = True
    source.answered.clear()
    assert _first(listings, source) == "t1"
    assert source.answered.wait(10)

    def again() -> None:
        for _ in range(200):
            _first(listings, source)
            threading.Event().wait(0.01)

    with pytest.raises(Unreachable):
        again()


def test_many_who_ask_at_once_ask_once() -> None:
    source, gate = _Source(), threading.Event()

    def slow() -> Sequence[TableRef]:
        gate.wait(10)
        return source()

    listings, found = Listings(source.clock), []
    threads = [threading.Thread(target=lambda: found.append(listings.get(("shop", 1), slow))) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert (source.asked, len(found), len(set(map(id, found)))) == (1, 8, 1)


def test_a_hundred_thousand_names_take_little_memory() -> None:
    tracemalloc.start()
    try:
        listing = Listing([TableRef(f"table_{number:06d}", f"s{number // 1000:03d}"[:4]) for number in range(100_000)])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(listing.tables) == 100_000
    assert held < 32 << 20
