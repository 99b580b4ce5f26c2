"""Metrics in Prometheus' text format, with Storm's names as labels, and several topologies' texts as one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from workbench.streams.counting import bucket_end
from workbench.streams.metrics import COUNTS, TIMES

if TYPE_CHECKING:
    from workbench.streams.report import Metrics

__all__ = ["CONTENT_TYPE", "PREFIX", "label", "lines", "merged"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "workbench_stream"
GAUGES = frozenset(
    ("connected", "queued", "queued_bytes", "partitions", "port", "behind", "nulls", "spool_rows", "spool_bytes")
)
"""Of what spouts count, that which does not only grow."""
_WINDOW_TITLES = (
    ("late", "late_rows_total", "counter"),
    ("rows", "window_rows", "gauge"),
    ("behind", "watermark_lag_seconds", "gauge"),
)
"""As `Scrape.windows` names them, and as Prometheus' text does."""
_NO_NAME = re.compile(r"[^a-zA-Z0-9_]")
_TYPE = re.compile(rf"# TYPE ({PREFIX}_[a-zA-Z0-9_]{{1,200}}) (counter|gauge|histogram)")
_ENDS = ("", "_bucket", "_sum", "_count")
_LABEL = r'[a-z]{1,40}="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE = re.compile(rf"({PREFIX}_[a-zA-Z0-9_]{{1,200}})\{{{_LABEL}(?:,{_LABEL})*\}} (?:-?[0-9][0-9.e+-]*|NaN|[+-]Inf)")


def lines(metrics: Metrics, run: str = "") -> Iterator[str]:
    """Each metric with its type, and its samples together."""
    now, base = metrics.now, label("topology", metrics.topology) + (f",{label('run', run)}" if run else "")

    def task_of(component: str, task: int) -> str:
        return f'{base},{label("component", component)},task="{task}"'

    keyed = {key: f"{task_of(key[0], key[1])},{label('source', key[2])},{label('stream', key[3])}" for key in now.cells}
    for name in COUNTS:
        title, kind = (f"{PREFIX}_{name}", "gauge") if name == "pending" else (f"{PREFIX}_{name}_total", "counter")
        yield f"# TYPE {title} {kind}\n"
        for key, cell in now.cells.items():
            if value := getattr(cell, name):
                yield f"{title}{{{keyed[key]}}} {value}\n"
    for name in TIMES:
        yield f"# TYPE {PREFIX}_{name}_seconds histogram\n"
        for key, cell in now.cells.items():
            if cell.times.get(name, (0,))[0]:
                yield from _histogram(f"{PREFIX}_{name}_seconds", keyed[key], cell.times[name])
    yield f"# TYPE {PREFIX}_capacity gauge\n"
    for component, kind in metrics.kinds.items():
        if kind == "bolt":
            yield f"{PREFIX}_capacity{{{base},{label('component', component)}}} {metrics.capacity(component):.6f}\n"
    yield f"# TYPE {PREFIX}_idle_seconds_total counter\n"
    for (component, task), reasons in now.idle.items():
        for reason, seconds in reasons.items():
            labels = f"{task_of(component, task)},{label('reason', reason)}"
            yield f"{PREFIX}_idle_seconds_total{{{labels}}} {seconds:.6f}\n"
    for title, values in (("errors", now.errors), ("dead_letters", now.dead)):
        yield f"# TYPE {PREFIX}_{title}_total counter\n"
        for component, number in values.items():
            yield f"{PREFIX}_{title}_total{{{base},{label('component', component)}}} {number}\n"
    yield f"# TYPE {PREFIX}_queued gauge\n{PREFIX}_queued{{{base}}} {now.queued}\n"
    yield f"# TYPE {PREFIX}_uptime_seconds gauge\n{PREFIX}_uptime_seconds{{{base}}} {now.uptime:.3f}\n"
    for name, title, kind in _WINDOW_TITLES:
        yield f"# TYPE {PREFIX}_{title} {kind}\n"
        for (component, task), held in now.windows.items():
            if (value := held[name]) is not None and math.isfinite(value):  # before the first row is no watermark
                yield f"{PREFIX}_{title}{{{task_of(component, task)}}} {value}\n"
    for name in dict.fromkeys(name for counts in now.sources.values() for name in counts):
        kind, end = ("gauge", "") if name in GAUGES else ("counter", "_total")
        title = f"{PREFIX}_source_{_NO_NAME.sub('_', name)}{end}"
        yield f"# TYPE {title} {kind}\n"
        for (component, task), counts in now.sources.items():
            if name in counts:
                yield f"{title}{{{task_of(component, task)}}} {counts[name]}\n"


def _histogram(name: str, labels: str, times: tuple[int, float, tuple[int, ...]]) -> Iterator[str]:
    count, total, buckets = times
    seen = 0
    for place, number in enumerate(buckets):
        seen += number
        if number:  # buckets may be left out, for they are cumulative
            yield f'{name}_bucket{{{labels},le="{bucket_end(place):.9g}"}} {seen}\n'
    yield f'{name}_bucket{{{labels},le="+Inf"}} {count}\n'
    yield f"{name}_sum{{{labels}}} {total:.9f}\n{name}_count{{{labels}}} {count}\n"


def label(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'


def merged(texts: Iterable[str]) -> str:
    """Texts of `lines` as one, in which each metric stands once. What is no line of theirs is left out, so that one
    process cannot spoil the others'."""
    metrics: dict[str, list[str]] = {}
    for text in texts:
        title = ""
        for line in text.split("\n"):
            if (found := _TYPE.fullmatch(line)) is not None:
                title = found[1]
                if metrics.setdefault(title, [line])[0] != line:
                    title = ""  # of another type elsewhere
            elif title and (sample := _SAMPLE.fullmatch(line)) is not None and _is_of(sample[1], title):
                metrics[title].append(line)
    return "".join(f"{line}\n" for found in metrics.values() for line in found)


def _is_of(name: str, metric: str) -> bool:
    return name.startswith(metric) and name[len(metric) :] in _ENDS
