"""What a scrape says: Storm's columns by component, task and stream, as an Arrow table, Prometheus' text, and words."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import InvalidParameter
from workbench.streams.counting import quantile
from workbench.streams.metrics import COUNTS, TIMES, WINDOWS, Cell, Scrape

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Metrics"]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
SHOWN = ("reconnects", "stalls", "too_large", "unreadable", "refused", "full", "jumps")
"""Of what spouts count, that which is said where it is not 0."""


@dataclass(frozen=True)
class Metrics:
    """The metrics of a topology at one moment. Times are milliseconds. `emitted = acked + failed + pending` holds for
    what a spout's stream tracks (`untracked` is what it emitted without a message id)."""

    topology: str
    kinds: Mapping[str, str]
    now: Scrape
    before: Mapping[str, Scrape | None] = field(default_factory=dict)
    age: float = 0.0

    def rows(self, window: str = "all") -> Iterator[dict[str, Any]]:
        """A row for each component, task and stream; `source` is the component that the stream is of."""
        then = self._before(window)
        for key, cell in self.now.cells.items():
            component, task, source, stream = key
            counted = _since(cell, then.cells.get(key) if then else None)
            row: dict[str, Any] = {
                "window": window,
                "component": component,
                "kind": self.kinds[component],
                "task": task,
                "source": source,
                "stream": stream,
            }
            row |= {name: getattr(counted, name) for name in COUNTS}
            for name in TIMES:
                count, total, buckets = counted.times.get(name, (0, 0.0, ()))
                row[f"{name}_latency_ms"] = total / count * 1000 if count else None
                for label, share in QUANTILES.items():
                    found = quantile(buckets, share)
                    row[f"{name}_{label}_ms"] = None if found is None else found * 1000
            yield row

    def table(self, window: str | None = None) -> pa.Table:
        """The rows as an Arrow table, of one window (`10m`, `3h`, `1d`, `all`) or of all of them."""
        import pyarrow as pa

        windows = list(WINDOWS) if window is None else [window]
        rows = [row for one in windows for row in self.rows(one)]
        names = [("window", "component", "kind", "task", "source", "stream"), COUNTS]
        fields = [pa.field(name, pa.int64() if name == "task" else pa.string()) for name in names[0]]
        fields += [pa.field(name, pa.int64()) for name in COUNTS]
        ends = ("latency_ms", *(f"{label}_ms" for label in QUANTILES))
        fields += [pa.field(f"{name}_{end}", pa.float64()) for name in TIMES for end in ends]
        return pa.Table.from_pylist(rows, schema=pa.schema(fields))

    def count(self, name: str, component: str, window: str = "all") -> int:
        """One of `emitted`, `executed`, … of a component, over its tasks and streams."""
        if name not in COUNTS:
            raise InvalidParameter("name", f"is {name!r}; counts are {', '.join(COUNTS)}.")
        return sum(row[name] for row in self.rows(window) if row["component"] == component)

    def capacity(self, component: str) -> float:
        """The share of the last 10 minutes that its busiest task was inside of `execute`, as Storm has it: the number
        of calls times their mean time. Above 0.9 the component is what holds the others up."""
        then = self._before("10m")
        uptime = min(self.now.uptime, 600.0) or 1.0
        busy: dict[int, float] = {}
        for key, cell in self.now.cells.items():
            if key[0] != component or self.kinds[component] != "bolt":
                continue
            counted = _since(cell, then.cells.get(key) if then else None)
            count, total, _ = counted.times.get("execute", (0, 0.0, ()))
            spent = total if cell.whole else counted.executed * total / count if count else 0.0
            busy[key[1]] = busy.get(key[1], 0.0) + spent
        return max(busy.values(), default=0.0) / uptime

    @property
    def dead_letters(self) -> int:
        return sum(self.now.dead.values())

    def prometheus(self, run: str = "") -> str:
        """The text that a Prometheus server scrapes; `run` is put on every line, where it is said."""
        from workbench.streams.prometheus import lines

        return "".join(lines(self, run))

    def _before(self, window: str) -> Scrape | None:
        if window not in WINDOWS:
            raise InvalidParameter("window", f"is {window!r}; there are {', '.join(WINDOWS)}.")
        return self.before.get(window)

    # --- shown

    columns = (
        "component",
        "tasks",
        "emitted",
        "executed",
        "acked",
        "failed",
        "pending",
        "ms",
        "p99 ms",
        "capacity",
        "errors",
    )

    def lines(self) -> list[tuple[str, ...]]:
        """A line for each component."""
        found: dict[str, dict[str, Any]] = {}
        for row in self.rows():
            line = found.setdefault(row["component"], {"tasks": set(), **dict.fromkeys(COUNTS, 0), "ms": [], "p99": []})
            line["tasks"].add(row["task"])
            for name in COUNTS:
                line[name] += row[name]
            which = "complete" if row["kind"] == "spout" else "execute"
            line["ms"] += [row[f"{which}_latency_ms"]] if row[f"{which}_latency_ms"] is not None else []
            line["p99"] += [row[f"{which}_p99_ms"]] if row[f"{which}_p99_ms"] is not None else []
        return [
            (
                name,
                str(len(line["tasks"])),
                *(f"{line[count]:,}" for count in ("emitted", "executed", "acked", "failed", "pending")),
                f"{sum(line['ms']) / len(line['ms']):.3g}" if line["ms"] else "",
                f"{max(line['p99']):.3g}" if line["p99"] else "",
                f"{self.capacity(name):.2f}" if self.kinds[name] == "bolt" else "",
                str(self.now.errors.get(name, 0) or ""),
            )
            for name, line in found.items()
        ]

    def __repr__(self) -> str:
        rows = [self.columns, *self.lines()]
        widths = [max(len(row[place]) for row in rows) for place in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        return "\n".join([line.rstrip() for line in lines] + self._notes())

    def _repr_html_(self) -> str:
        def line(cells: tuple[str, ...], tag: str) -> str:
            return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

        body = "".join(line(row, "td") for row in self.lines())
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        return f"<table><thead>{line(self.columns, 'th')}</thead><tbody>{body}</tbody></table>{notes}"

    def _notes(self) -> list[str]:
        notes = [f"{self.dead_letters:,} rows were given up: see .dead_letters"] if self.dead_letters else []
        for (component, _), counts in self.now.sources.items():
            if said := [f"{counts[name]:,.0f} {name.replace('_', ' ')}" for name in SHOWN if counts.get(name)]:
                notes.append(f"{component}: {', '.join(said)}")
        return notes + ([f"as of {self.age:.1f} s ago: a component does not return"] if self.age > 1 else [])


def _since(cell: Cell, then: Cell | None) -> Cell:
    """What came after `then`; `pending` is always that of now."""
    if then is None:
        return cell
    since = Cell(pending=cell.pending)
    for name in COUNTS:
        if name != "pending":
            setattr(since, name, getattr(cell, name) - getattr(then, name))
    for name, (count, total, buckets) in cell.times.items():
        old = then.times.get(name, (0, 0.0, (0,) * len(buckets)))
        since.times[name] = (
            count - old[0],
            total - old[1],
            tuple(a - b for a, b in zip(buckets, old[2], strict=True)),
        )
    return since
