"""Reports on events: a mapping of columns (`Events`), definitions of numbers (`Overview`), what they give (`Report`).

ev = wb.reports.Events("clicks.events", user="user_id", time="ts", event="name", page="url")
wb.reports.Overview(period="last 28 days", definition="ga4").on(ev).figure()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.reports.events import Events as Events
    from workbench.reports.overview import Overview as Overview
    from workbench.reports.presets import Expr as Expr
    from workbench.reports.report import Report as Report, load as load

__all__ = ["Events", "Expr", "Overview", "Report", "load"]

_MODULES = {
    "Events": "workbench.reports.events",
    "Expr": "workbench.reports.presets",
    "Overview": "workbench.reports.overview",
    "Report": "workbench.reports.report",
    "load": "workbench.reports.report",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'workbench.reports' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
