"""Which view shows what. No object knows its view, so that rooms below load no widget."""

from __future__ import annotations

import importlib
from typing import Any

from workbench.contract.errors import UsageError

__all__ = ["VIEWS", "view"]

VIEWS = {
    "workbench.reports.report:Report": "workbench.widgets.report:ReportView",
    "workbench.streams.running:Running": "workbench.widgets.topology:TopologyView",
    "workbench.streams.watched:Watched": "workbench.widgets.topology:TopologyView",
    "workbench.streams.views:StreamView": "workbench.widgets.streams:single",
    "builtins:list": "workbench.widgets.streams:dashboard",
    "builtins:tuple": "workbench.widgets.streams:dashboard",
}
"""What makes a view, by the class that it shows; a module is imported when its view is asked for."""


def view(thing: Any, **options: Any) -> Any:
    """The view of `thing`, a widget: `workbench.view(report)` has controls that compute the report anew,
    `workbench.view(running)` shows a topology while it runs, also while a cell keeps the kernel busy, and
    `workbench.view(workbench.streams.Series(running, "minutes", x="end", y="views"))` what comes out of it. A list is a
    dashboard, whose parts stand beside each other and wrap; a list of lists has these rows.
    `options` are the view's own, as `theme="dark"`. Raises UsageError for what has no view."""
    for kind in type(thing).__mro__:
        where = VIEWS.get(f"{kind.__module__}:{kind.__qualname__}")
        if where is not None:
            module, _, name = where.partition(":")
            return getattr(importlib.import_module(module), name)(thing, **options)
    known = ", ".join(f"`{name.partition(':')[2]}`" for name in VIEWS)
    raise UsageError(f"There is no view of a value of type `{type(thing).__name__}`. Views are of: {known}.")
