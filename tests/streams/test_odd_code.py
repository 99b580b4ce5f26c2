"""Components that are no good as code: refused where they are added, with the component's name and the value; and what
functions may give that is no list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from tests.streams.parts import Keep
from workbench.contract.errors import InvalidParameter, TopologyError
from workbench.streams import Bolt, IteratorSpout, Spout, Topology, bolt, spout, tumbling
from workbench.streams.running import Running

Start = Callable[..., Running]


@spout("n")
def numbers() -> Iterator[int]:
    yield from range(3)


def with_bolt(code: Any, **options: Any) -> Topology:
    return Topology("odd", max_retries=0).spout("s", numbers).bolt("b", code, inputs="s", **options)


class Mute(IteratorSpout):
    outputs = ("n",)


class Empty(Spout):
    outputs = ("n",)


class Yields(Bolt):
    outputs = ("n",)

    def execute(self, tuple: Any) -> Any:  # noqa: A002
        yield tuple.n


class Awaits(Bolt):
    async def execute(self, tuple: Any) -> None:  # type: ignore[override]  # noqa: A002
        pass


class Prepares(Bolt):
    def prepare(self) -> None:  # type: ignore[override]
        pass

    def execute(self, tuple: Any) -> None:  # noqa: A002
        pass


async def later(tuple: Any) -> None:  # noqa: A002
    pass


async def some() -> Any:
    yield 1


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: Topology("t").spout("s", Mute), "of `s`: Mute has no `rows`"),
    (lambda: Topology("t").spout("s", Empty), "of `s`: Empty has no `next_tuple`"),
    (lambda: Topology("t").spout("s", some, outputs="n"), "of `s`: `some` is async"),
    (lambda: Topology("t").spout("s", lambda a, b: [], outputs="n"), "`<lambda>(a, b)` is called with its context"),
    (lambda: with_bolt(later), "of `b`: `later` is async, and nobody awaits it"),
    (lambda: with_bolt(Awaits), "of `b`: `Awaits.execute` is async"),
    (lambda: with_bolt(Yields), "of `b`: `Yields.execute` has a `yield`"),
    (lambda: with_bolt(Prepares), "`Prepares.prepare()` is called with three arguments: config, context and collector"),
    (lambda: with_bolt(lambda: 1), "of `b`: `<lambda>()` is called with one argument, the tuple"),
    (lambda: with_bolt(lambda a, b: 1, batch=True), "`<lambda>(a, b)` is called with one argument, the batch"),
]


@pytest.mark.parametrize(("build", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_code_that_cannot_be_called_as_it_will_be_is_refused_at_once(build: Callable[[], object], says: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        build()
    assert says in str(raised.value)


def test_code_whose_other_parameters_have_values_is_taken() -> None:
    with_bolt(lambda row, more=1: row).check()
    with_bolt(lambda *rows: rows).check()
    with_bolt([].append).check()
    with_bolt(print).check()


@pytest.mark.parametrize("given", [None, 5, "abc", b"abc", {"n": 1}])
def test_a_spout_that_gives_no_rows_does_not_start(given: Any, started: Start) -> None:
    t = Topology("odd").spout("s", lambda: given, outputs="n")
    with pytest.raises(TopologyError) as told:
        started(t)
    assert f"spout `s` gives {given!r} for its rows; that is a generator, or a list." in str(told.value)


@pytest.mark.parametrize(
    "given", [[1, 2], iter([1, 2]), map(int, "12"), pa.table({"n": [1, 2]}), ((n,) for n in (1, 2))]
)
def test_a_spout_may_return_what_can_be_gone_through_or_a_table(given: Any, started: Start) -> None:
    got: list[Any] = []
    t = Topology("odd").spout("s", lambda: given, outputs="n").bolt("out", lambda row: got.append(row.n), inputs="s")
    assert started(t).wait(30).state == "done"
    assert got == [1, 2]


def test_an_iterator_that_a_bolt_returns_is_its_rows(started: Start) -> None:
    Keep.kept.clear()
    t = with_bolt(bolt("n")(lambda row: map(str, (row.n, 10)))).bolt("keep", Keep("odd"), inputs="b")
    assert started(t).wait(30).state == "done"
    assert sorted(Keep.kept["odd"]) == [("0",), ("1",), ("10",), ("10",), ("10",), ("2",)]


@pytest.mark.parametrize("given", ["ab", {"n": 1}, 5])
def test_what_is_no_batch_fails_with_the_value(given: Any, started: Start) -> None:
    running = started(with_bolt(bolt("n", batch=True)(lambda batch: given))).wait(30)
    (error,) = {letter.error for letter in running.dead_letters}
    assert error.startswith(f"EmitRefused: Component `b`: stream `default` is to get the batch {given!r}")


def test_what_a_class_returns_is_told_once_for_it_goes_nowhere(started: Start) -> None:
    class Returns(Bolt):
        outputs = ("n",)

        def execute(self, window: Any) -> Any:
            return [row.n for row in window]

    running = started(with_bolt(Returns, window=tumbling(1))).wait(30)
    (fault,) = running.errors
    assert fault.error.startswith("EmitRefused: Component `b`: its `execute` has returned [0], which goes nowhere.")
    assert running.metrics().count("acked", "s") == 3


def test_what_was_opened_is_closed_when_another_component_cannot_be_and_both_errors_are_said(
    started: Callable[..., Any],
) -> None:
    closed: list[str] = []

    class Holds(IteratorSpout):
        outputs = ("n",)

        def rows(self) -> Iterator[Any]:
            yield 1

        def close(self) -> None:
            closed.append("last")
            raise OSError("its file is gone")

    class Refuses(IteratorSpout):
        outputs = ("n",)

        def open(self, config: Any, context: Any, collector: Any) -> None:
            raise RuntimeError("no room")

        def rows(self) -> Iterator[Any]:
            yield 1

    # Opened from the last one on.
    t = Topology("t").spout("first", Refuses).spout("last", Holds)
    with pytest.raises(RuntimeError, match="no room") as caught:
        started(t)
    assert closed == ["last"]
    assert caught.value.__notes__ == ["And `last` could not be closed: OSError: its file is gone"]
