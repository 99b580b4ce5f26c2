"""What can be seen of a stream while it runs: definitions, pure data about a component's stream. `workbench.view` shows
one, or a list of them as a dashboard; what they say is worked out where the topology runs (`folding.py`).

    wb.view(wb.streams.Series(run, "minutes", x="end", y="views", by="page"))

`stream` is a component (`"minutes"`), one of its streams (`"minutes.late"`), or a sink, which stands for the stream
that it takes. Fields that are times are milliseconds or datetimes; one without a zone is UTC.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from workbench.contract.errors import InvalidParameter
from workbench.streams.configuration import seconds
from workbench.streams.tuples import shown

__all__ = ["FunnelNow", "Gauge", "LiveTable", "Series", "StreamView", "TopN", "definitions"]

HOWS = ("sum", "last", "max")
SHAPES = ("line", "bars")
MOST_POINTS = 2_000
MOST_LINES = 12
MOST_ROWS = 200
LONGEST = 200


@dataclass(frozen=True)
class StreamView:
    """What all views have. `run` is a topology that runs (`topology.run()`, `wb.streams.find("name")`)."""

    run: Any = field(repr=False, compare=False)
    stream: str
    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not (hasattr(self.run, "id") and hasattr(self.run, "shown")):
            raise InvalidParameter(
                "run", f'is {type(self.run).__name__}; say what `topology.run()` gave, or wb.streams.find("name").'
            )
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, str) and len(value) > LONGEST:
                raise InvalidParameter(one.name, f"has {len(value)} characters; {LONGEST} are the most.")
            if one.type == "str" and not isinstance(value, str):
                raise InvalidParameter(one.name, f"is {value!r}; it is a text.")
        if not self.stream:
            raise InvalidParameter("stream", 'is empty; name a component: "minutes", or its stream "minutes.late".')

    def spec(self) -> dict[str, Any]:
        """As plain JSON, without the run."""
        body = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "run"}
        return {"kind": self.kind, **{name: list(v) if isinstance(v, tuple) else v for name, v in body.items()}}


@dataclass(frozen=True)
class Series(StreamView):
    """Lines over time. `x` is the field with the time (without it, the second in which a row comes), `y` the one that
    is drawn (without it, rows are counted), `by` one with a line for each of its values: the `lines` that have most,
    and the others as one. Rows of the same time and line count together as `how` says: `sum`, `last`, `max`. The
    newest `keep` times are shown, as `shape="line"` or `"bars"`."""

    x: str = ""
    y: str = ""
    by: str = ""
    how: str = "sum"
    lines: int = 6
    keep: int = 240
    shape: str = "line"
    unit: str = ""
    title: str = ""
    kind: ClassVar[str] = "series"

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("how", self.how, HOWS)
        _one_of("shape", self.shape, SHAPES)
        _between("lines", self.lines, MOST_LINES)
        _between("keep", self.keep, MOST_POINTS)


@dataclass(frozen=True)
class TopN(StreamView):
    """The `n` values of field `by` with the largest sum of `y` (without it, with the most rows): since the view is
    there, or of the last `over` ("1h") before the newest time in field `x`. With `how="last"` a row stands in place of
    the one before it of the same time and value, as early windows give them."""

    by: str = ""
    y: str = ""
    x: str = ""
    over: Any = ""
    how: str = "sum"
    n: int = 10
    unit: str = ""
    title: str = ""
    kind: ClassVar[str] = "top"

    def __post_init__(self) -> None:
        super().__post_init__()
        _named("by", self.by, 'by="page"')
        _between("n", self.n, 50)
        _over(self)


@dataclass(frozen=True)
class Gauge(StreamView):
    """One number, large: field `y` at the newest time in field `x`, and how it went before. Rows of the same time count
    together as `how` says; without `y`, rows are counted. From `warn` on it is orange, from `alarm` on red."""

    y: str = ""
    x: str = ""
    how: str = "sum"
    keep: int = 120
    warn: float | None = None
    alarm: float | None = None
    unit: str = ""
    title: str = ""
    kind: ClassVar[str] = "gauge"

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("how", self.how, HOWS)
        _between("keep", self.keep, MOST_POINTS)
        for name, value in (("warn", self.warn), ("alarm", self.alarm)):
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if value is not None and not number:
                raise InvalidParameter(name, f"is {value!r}; it is a number.")


@dataclass(frozen=True)
class LiveTable(StreamView):
    """The newest `keep` rows, the newest first. `x` names fields that are times; `level` one that says how bad it is:
    `info`, `warn` or `alarm`."""

    columns: Sequence[str] = ()
    x: str = ""
    level: str = ""
    keep: int = 20
    title: str = ""
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        super().__post_init__()
        names = _texts("columns", self.columns)
        if not all(isinstance(name, str) and 0 < len(name) <= LONGEST for name in names) or len(names) > 50:
            raise InvalidParameter("columns", f"are {names!r}; they are names of fields, 50 at most.")
        object.__setattr__(self, "columns", names)
        _between("keep", self.keep, MOST_ROWS)


@dataclass(frozen=True)
class FunnelNow(StreamView):
    """How many came how far. Each row says in field `step` the furthest of `steps`, which are named from the first to
    the last, and in `y` how many did (without it, one). `reached=False`: rows say a step each, and not the furthest.
    Since the view is there, or of the last `over` before the newest time in field `x`. `how` is as in TopN."""

    step: str = ""
    steps: Sequence[str] = ()
    y: str = ""
    x: str = ""
    over: Any = ""
    how: str = "sum"
    reached: bool = True
    title: str = ""
    kind: ClassVar[str] = "funnel"

    def __post_init__(self) -> None:
        super().__post_init__()
        _named("step", self.step, 'step="furthest"')
        steps = _texts("steps", self.steps)
        if not 1 <= len(steps) <= 20 or not all(isinstance(one, str) and len(one) <= LONGEST for one in steps):
            raise InvalidParameter("steps", f"are {steps!r}; they are 1 to 20 texts, from the first to the last.")
        object.__setattr__(self, "steps", steps)
        _over(self)


_KINDS: dict[str, Any] = {one.kind: one for one in (Series, TopN, Gauge, LiveTable, FunnelNow)}


def definitions(views: Any) -> list[StreamView]:
    """What is to be shown, as a list. Raises InvalidParameter."""
    found = list(views) if isinstance(views, list | tuple) else [views]
    for one in found:
        if not isinstance(one, StreamView):
            raise InvalidParameter(
                "views", f'has {shown(one, 80)}; they are definitions: [wb.streams.Series(run, "minutes", x="end")].'
            )
    return found


def of_spec(run: Any, body: Any) -> StreamView:
    """A definition of what another process has sent. Raises InvalidParameter."""
    try:
        given = dict(body)
        made: StreamView = _KINDS[given.pop("kind")](run, **given)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise InvalidParameter("views", "are no definitions of views.") from None
    return made


def _one_of(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise InvalidParameter(name, f"is {value!r}; it is {', '.join(known[:-1])} or {known[-1]}.")


def _between(name: str, value: Any, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidParameter(name, f"is {value!r}; it is 1 to {most:,}.")


def _texts(name: str, value: Any) -> tuple[Any, ...]:
    """One text, or several."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable):
        raise InvalidParameter(name, f"is {shown(value, 80)}; it is a list of texts.")
    return tuple(value)


def _named(name: str, value: str, example: str) -> None:
    if not value:
        raise InvalidParameter(name, f"is missing; name a field of the stream: {example}.")


def _over(view: Any) -> None:
    """`over` as seconds, 0 for none."""
    _one_of("how", view.how, ("sum", "last"))
    if view.how == "last" and view.over in ("", None, 0):
        raise InvalidParameter("how", 'is "last", and `over` does not say for how long times are kept: over="1h".')
    length = 0.0 if view.over in ("", None, 0) else seconds(view.over, "over")
    if not math.isfinite(length):
        raise InvalidParameter("over", f'is {view.over!r}; it is a time such as "1h".')
    if length and not view.x:
        raise InvalidParameter("over", f'is {view.over!r}, and `x` does not say which field has the time: x="end".')
    object.__setattr__(view, "over", length)
