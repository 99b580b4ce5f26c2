"""Views of a topology's streams, alone or as a dashboard: lines, tops, gauges, tables, funnels, as they move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import traitlets

from workbench.contract.errors import InvalidParameter
from workbench.runs.register import Engine
from workbench.streams.views import StreamView
from workbench.widgets.live import LiveView, newest, script

__all__ = ["StreamViews", "dashboard", "single"]

Rows = Sequence[Sequence[StreamView]]


class StreamViews(LiveView):
    """Views of one run's streams, which are one topic. `rows`: so many of them stand in each row; without, they stand
    beside each other and wrap."""

    _esm = script("streams")

    rows = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, views: Sequence[StreamView], rows: Sequence[int] = ()) -> None:
        self._views, self._run = list(views), newest(views[0].run)
        super().__init__(self._run.shown(self._views), self._run.id, self._run.engine, controls=False)
        self.rows = list(rows)

    def place(self) -> Engine | None:
        found: Engine | None = self._run.engine
        return found

    def follow(self, following: Mapping[str, Any] | None) -> None:
        self._run = newest(self._run, following)
        self.watched(self._run.shown(self._views), self._run.engine)


def single(view: StreamView) -> StreamViews:
    """Of one."""
    return StreamViews([view])


def dashboard(things: Sequence[Any], **options: Any) -> Any:
    """What is in a list, side by side; a list of lists has these rows. Views of one run that follow each other are one
    widget; all else that has a view is put between. Raises UsageError for what has none."""
    from workbench.widgets.finding import view

    if not things or all(isinstance(one, list | tuple) and not one for one in things):
        raise InvalidParameter("things", "is an empty list; wb.view([one, another]) shows them side by side.")
    rows = [list(one) for one in things] if all(isinstance(one, list | tuple) for one in things) else None
    flat = [one for row in rows for one in row] if rows is not None else list(things)
    runs = {_run(one) for one in flat}
    if len(runs) == 1 and None not in runs:
        return StreamViews(flat, [len(row) for row in rows] if rows is not None else [])
    if rows is not None:
        boxes = [dashboard(row, **options) for row in rows if row]
        return ipywidgets.VBox(boxes)
    shown: list[Any] = []
    for one, group in _groups(flat):
        shown.append(StreamViews(group) if one is not None else view(group[0], **options))
    return ipywidgets.VBox(shown)


def _groups(things: Sequence[Any]) -> list[tuple[str | None, list[Any]]]:
    found: list[tuple[str | None, list[Any]]] = []
    for one in things:
        run = _run(one)
        if run is not None and found and found[-1][0] == run:
            found[-1][1].append(one)
        else:
            found.append((run, [one]))
    return found


def _run(thing: Any) -> str | None:
    return str(thing.run.id) if isinstance(thing, StreamView) else None
