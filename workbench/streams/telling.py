"""What the viewers of a topology see of it while it runs: the topic `runs/<run>/topology`.

Its state: `name`, `state`, `error`, `uptime` in seconds, `components` and `edges` as they were declared, `guarantees`
(of each sink `claim`: "effectively once", "at least once" or "at most once", `why` it is no better one, a list of
sentences, and `how` it writes); what each does
under `component/<id>`, and the tuples in a second along an edge under `edge/<source>/<stream>/<target>`. The lists `at`
(seconds of the epoch), `emitted` and `acked` (tuples in a second, of all spouts), `p50` and `p99` (complete latency in
ms, null while nothing was acked) grow together; `log` is what components print, and their errors. `replayable` says
whether `replay` can be asked for; `next` is where a run that was started again goes on: `run` and `topic`.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import UsageError, WorkbenchError
from workbench.runs.publisher import Elsewhere, Publisher
from workbench.runs.topics import Topic
from workbench.streams.controlling import control
from workbench.streams.counting import quantile
from workbench.streams.ended import Last, retain
from workbench.streams.outline import Outline
from workbench.streams.report import QUANTILES
from workbench.streams.showing import Views
from workbench.streams.tapping import Taps

if TYPE_CHECKING:
    from workbench.runs import Register
    from workbench.runs.register import Engine
    from workbench.streams.metrics import Scrape
    from workbench.streams.report import Metrics
    from workbench.streams.running import Running
    from workbench.streams.topology import Topology

__all__ = ["KEEP", "Sampler", "Telling", "shape"]

_log = logging.getLogger(__name__)
WATCHED, UNWATCHED = 0.1, 1.0
"""Seconds between two changes, while somebody looks and while nobody does."""
SOON = 0.2
"""Seconds after which a topology can be watched; what is over sooner, when it is."""
KEEP = {"at": 600, "emitted": 600, "acked": 600, "p50": 600, "p99": 600, "log": 200}
_SUMS = ("emitted", "transferred", "executed", "acked", "failed", "pending")


def shape(topology: Topology | Outline) -> dict[str, Any]:
    """What does not change while it runs."""
    nodes = topology.nodes.values()
    return {
        "name": topology.name,
        "components": [{"id": node.id, "kind": node.kind, "tasks": node.parallelism} for node in nodes],
        "edges": [
            {"source": one.component, "stream": one.stream, "target": node.id, "grouping": str(one.grouping)}
            for node in nodes
            for one in node.inputs
        ],
    }


class Sampler:
    """Makes of one moment after the other what is told. Plain code: metrics go in, values and new points come out."""

    def __init__(self, topology: Topology) -> None:
        self._kinds = {node.id: node.kind for node in topology.nodes.values()}
        self._before: Scrape | None = None

    def sample(self, metrics: Metrics) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        """Values by key, and a point of each list but `log`."""
        now, before = metrics.now, self._before
        self._before = now
        passed = now.at - before.at if before is not None else now.uptime
        values: dict[str, Any] = {"uptime": round(now.uptime, 1)}
        rates = _rates(now, before, passed)
        for component, kind in self._kinds.items():
            values[f"component/{component}"] = self._component(component, kind, metrics, rates)
        values |= {
            f"edge/{source}/{stream}/{target}": rate for (target, source, stream), rate in rates["edges"].items()
        }
        spouts = [component for component, kind in self._kinds.items() if kind == "spout"]
        times = _complete(now, before, spouts)
        points: dict[str, list[Any]] = {
            "emitted": [round(sum(rates["emitted"].get(one, 0.0) for one in spouts), 1)],
            "acked": [round(sum(rates["acked"].get(one, 0.0) for one in spouts), 1)],
            "p50": [_ms(quantile(times, 0.5))],
            "p99": [_ms(quantile(times, 0.99))],
        }
        return values, points

    def _component(self, component: str, kind: str, metrics: Metrics, rates: Mapping[str, Any]) -> dict[str, Any]:
        cells = [cell for key, cell in metrics.now.cells.items() if key[0] == component]
        mean, buckets = _times(cells, "complete" if kind == "spout" else "execute")
        windows = [one for key, one in metrics.now.windows.items() if key[0] == component]
        behind = [one["behind"] for one in windows if one["behind"] is not None]
        counted = [counts for key, counts in metrics.now.sources.items() if key[0] == component]
        source = {name: sum(counts.get(name, 0) for counts in counted) for counts in counted for name in counts}
        return {
            **({"source": source} if source else {}),
            **{name: sum(getattr(cell, name) for cell in cells) for name in _SUMS},
            "rate": round(rates["emitted" if kind == "spout" else "executed"].get(component, 0.0), 1),
            "ms": mean,
            **{label: _ms(quantile(buckets, share)) if buckets else None for label, share in QUANTILES.items()},
            "process": _times(cells, "process")[0] if kind == "bolt" else None,
            "late": sum(one["late"] for one in windows) if windows else None,
            "held": sum(one["rows"] for one in windows) if windows else None,
            "behind": round(max(behind), 1) if behind else None,
            "capacity": round(metrics.capacity(component), 3) if kind == "bolt" else None,
            "errors": metrics.now.errors.get(component, 0),
            "dead": metrics.now.dead.get(component, 0),
        }


class Telling:
    """Publishes one run, from a thread of its own. A socket that cannot be bound is logged, and the run goes on. When
    it is over its last state can be looked at (see `ended.py`), and played again where it can be, as long as somebody
    has its handle. In a run's own process `again` is the address of the engine that can start it again."""

    def __init__(
        self,
        publisher: Publisher,
        running: Running,
        taps: Taps | None = None,
        wall: Callable[[], float] = time.time,
        again: str = "",
    ) -> None:
        self._publisher, self._wall, self._id = publisher, wall, running.id
        self._running: Running | None = running
        self._handle = weakref.ref(running)
        self._sampler = Sampler(running.topology)
        self._logged = self._faults = 0
        self._promises = running.guarantees().document()
        state = {
            **shape(running.topology),
            "guarantees": self._promises,
            "run": running.id,
            "state": running.state,
            "error": running.failure,
            "uptime": 0.0,
        }
        lists: dict[str, Any] = {name: [] for name in KEEP}
        self._again = again
        can = running.again is not None and running.topology.replayable
        self._replayable = state["replayable"] = can or bool(again)
        self.topic: Topic = publisher.topic(f"runs/{running.id}/topology", {**state, **lists}, KEEP)
        topology: Any = running.topology
        outline = topology if isinstance(topology, Outline) else Outline.of(topology)
        self.views = Views(publisher, running.id, outline, taps or Taps(), wall)
        self._last = Last(publisher, self.topic, self.views)
        weakref.finalize(running, retain, self._last)
        publisher.control(running.id, self._control)
        publisher.text(running.id, self._text)
        self._thread = threading.Thread(target=self._main, name=f"workbench-telling-{running.id}", daemon=True)

    def introduce(self, register: Register) -> None:
        """Tells the handle where the run is shown."""
        running = self._handle()
        assert running is not None
        running.topic, running.publish = self.topic, lambda: self.published(register)
        running.show = self.views.show
        running.replaced = self._replaced

    def start(self) -> None:
        self._thread.start()

    def open(self) -> None:
        """Lets others watch it from now on."""
        try:
            self._publisher.open()
        except (OSError, WorkbenchError) as error:
            _log.warning("Nobody can watch run %s live: %s", self._id, error)

    def leave(self, patience: float, adopted: bool = False) -> None:
        """Its process ends: waits until viewers have been told the end, or so many seconds. `adopted`: another process
        shows it from now on, so that those who look at what can be played again are sent there without an end."""
        self._thread.join(patience)
        self._publisher.close(silent=adopted and self._replayable)
        deadline = time.monotonic() + patience
        while self._publisher.serving and time.monotonic() < deadline:
            time.sleep(0.01)

    def left(self, patience: float) -> Iterator[dict[str, Any]]:
        """Once it is over: all that can be seen of it, in parts for `Views.restore` of another process, the topic's own
        first. Nothing where the end is not told within so many seconds."""
        self._thread.join(patience)
        if not self._thread.is_alive():
            yield {"topic": self.topic.snapshot["snapshot"]}
            yield from self.views.left()

    def published(self, register: Register) -> Engine | None:
        """Lets others watch it from now on, and says where they find it."""
        self.open()
        return register.engine(self._id)

    def _control(self, what: str) -> str | None:
        return Elsewhere(self._again) if self._again and what.startswith("replay") else control(self._handle(), what)

    def _text(self, what: str) -> str:
        running = self._handle()
        if what != "metrics" or running is None:
            raise UsageError(f"A topology tells `metrics`, and not `{what[:20]}`.")
        return running.metrics().prometheus(running.id)

    def _main(self) -> None:
        running = self._running
        assert running is not None
        try:
            if not running.ended(SOON):
                self.open()
                self._tell(running)
                while not running.ended(WATCHED if self.topic.watched else UNWATCHED):
                    self._tell(running)
            self.open()  # its last state can be looked at, however soon it was over
            self._tell(running)
            self._tell(running)  # that nothing comes any more: what is seen of it from now on has no rates
        finally:
            self.views.stop()
            self._running = None  # from now on the handle may go
            if not self._replayable:
                self._publisher.control(self._id, None)
                self.views.end()
                self.topic.end()

    def _replaced(self, following: Running) -> None:
        self._thread.join()
        self._last.replaced(following)

    def _tell(self, running: Running) -> None:
        metrics = running.metrics()
        values, points = self._sampler.sample(metrics)
        about: dict[str, Any] = {"state": running.state, "error": running.failure}
        promises = running.guarantees().document()
        if promises != self._promises:
            self._promises = values["guarantees"] = promises
        errors = sum(metrics.now.errors.values())
        lines = self._lines(running, errors)
        self.topic.tell(values | about, {**points, "at": [round(self._wall(), 3)], "log": lines})
        self.views.about(about, {name: values[f"component/{name}"]["late"] or 0 for name in running.topology.nodes})

    def _lines(self, running: Running, errors: int) -> list[str]:
        """What was printed since the last time, and what has failed since."""
        fresh, self._logged = running.log.since(self._logged)
        faults = running.errors if errors > self._faults else []
        new = faults[max(0, len(faults) - (errors - self._faults)) :]
        self._faults = errors
        said = [f"{_clock(fault.at)} {fault.component}: {fault.error}" for fault in new]
        return [line[:500] for line in [*fresh, *said]][-KEEP["log"] :]


def _rates(now: Scrape, before: Scrape | None, passed: float) -> dict[str, dict[Any, float]]:
    """In a second: emitted, acked and executed by component, and executed by edge."""
    found: dict[str, dict[Any, float]] = {"emitted": {}, "acked": {}, "executed": {}, "edges": {}}
    seconds = passed or 1.0
    for key, cell in now.cells.items():
        component, _, source, stream = key
        old = before.cells.get(key) if before is not None else None
        for name in ("emitted", "acked", "executed"):
            grown = getattr(cell, name) - (getattr(old, name) if old is not None else 0)
            found[name][component] = found[name].get(component, 0.0) + grown / seconds
            if name == "executed" and source != component:
                edge = (component, source, stream)
                found["edges"][edge] = round(found["edges"].get(edge, 0.0) + grown / seconds, 1)
    return found


def _complete(now: Scrape, before: Scrape | None, spouts: list[str]) -> list[int]:
    """The histogram of the complete latencies since."""
    whole: list[int] = []
    for key, cell in now.cells.items():
        if key[0] in spouts and "complete" in cell.times:
            buckets = list(cell.times["complete"][2])
            old = before.cells.get(key) if before is not None else None
            if old is not None and "complete" in old.times:
                buckets = [new - was for new, was in zip(buckets, old.times["complete"][2], strict=True)]
            whole = [a + b for a, b in zip(whole, buckets, strict=True)] if whole else buckets
    return whole


def _times(cells: Sequence[Any], which: str) -> tuple[float | None, list[int]]:
    """The mean in ms, and the histogram."""
    times = [cell.times[which] for cell in cells if which in cell.times and cell.times[which][0]]
    count, total = sum(one[0] for one in times), sum(one[1] for one in times)
    return _ms(total / count) if count else None, [sum(parts) for parts in zip(*(one[2] for one in times), strict=True)]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 4)


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
