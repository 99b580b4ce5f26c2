"""What each sink may claim, and why not more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.streams.parts import giving
from workbench.runs.topics import Topic, apply
from workbench.streams import Bolt, Sink, Topology, bolt, spout, tumbling
from workbench.streams.guarantees import keeps
from workbench.streams.running import Running

Start = Callable[..., Running]


def test_early_windows_are_no_rows_to_be_added(shop: Path) -> None:
    def topology(**options: Any) -> Topology:
        t = Topology("t").spout("rows", giving(("/a", 1), repeats=True))
        t.bolt("w", bolt("page", "n")(lambda window: ("/a", 1)), inputs="rows", window=tumbling("1m", early="1s"))
        return t.bolt("save", Sink("shop.views", **options), inputs="w")

    assert "`w` hands out windows early" in str(topology().guarantees()["save"])
    assert topology(key="page").guarantees()["save"].claim == "effectively once"


class Numbers(Bolt):
    """Keeps what is no list or dict."""

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        self.n, self.before = 0, None

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.n += 1
        self._keep(tuple.n)

    def _keep(self, number: int) -> None:
        self.before = number


class CountsByItself(Bolt):
    outputs = ("page",)

    def __init__(self, given: dict[str, int] | None = None) -> None:
        self.given = given

    def prepare(self, config: Any, context: Any, collector: Any) -> None:
        self.counts: dict[str, int] = {}

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.collector.emit((tuple.page,))


def test_what_each_sink_may_claim_is_said_with_the_reason(started: Start, shop: Path, eventually: Any) -> None:
    def some() -> Iterator[Any]:
        while True:
            yield None

    seen: list[Any] = []
    t = Topology("t").spout("once", giving(("/a", 1))).spout("again", spout("page", "n", repeats=True)(some))
    t.bolt("counts", CountsByItself, inputs="again")
    t.bolt("good", Sink("shop.views"), inputs="again").bolt("poor", Sink("shop.views"), inputs="once")
    t.bolt("half", Sink("shop.pages", create=True), inputs="counts").bolt("own", seen.append, inputs="again")
    found = t.guarantees()
    assert found["good"].claim == "effectively once"
    assert "spout `once` does not give the same again" in str(found["poor"])
    assert "own` is code of its own" in str(found["own"])
    assert "good is effectively once in a run with state=, else at least once" in t.describe()
    assert "effectively once" in t.svg()
    assert all("without state=" in str(one) for one in t.guarantees(state=False).values())
    running = started(t, state=True)
    found = running.guarantees()
    assert found["good"].claim == "effectively once"
    assert "`counts` keeps `counts` by itself" in str(found["half"])
    assert keeps(CountsByItself({})) == []
    assert keeps(Numbers()) == ["before", "n"]
    assert keeps(bolt("n")(lambda row: seen.append(row))) == ["seen"]

    def outer() -> Any:
        number = 0

        def counting(row: Any) -> int:
            nonlocal number
            number += 1
            return number

        def plain(row: Any) -> int:
            found = 0

            def inner() -> None:
                nonlocal found
                found += 1

            inner()
            return found

        return counting, plain

    assert [keeps(bolt("n")(one)) for one in outer()] == [["number"], []]
    assert str(Topology("x", acking=False).spout("s", giving()).bolt("o", seen.append, inputs="s").guarantees()) == (
        "o: at most once: acking is off, so what fails is gone"
    )
    assert isinstance(running.topic, Topic)
    state: dict[str, Any] = {}
    mailbox = running.topic.subscribe(lambda: None)
    for frame in mailbox.take():
        apply(state, {}, frame)
    mailbox.close()
    assert state["guarantees"]["good"] == {
        "claim": "effectively once",
        "why": [],
        "how": "writes a snapshot's rows and its number in one transaction",
    }
