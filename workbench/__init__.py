"""Analytics Workbench: ask, see and share what lies in many systems, from Jupyter.

    import workbench as wb

    wb.connect("shop", "mysql://analyst@db.example/shop")
    wb.sql("select country, sum(total) from shop.orders group by 1")

`import workbench` loads nothing else; each name below is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from workbench import reports as reports, streams as streams
    from workbench.contract import errors as errors
    from workbench.dashboards.parameters import parameters as parameters
    from workbench.dashboards.publishing import publish as publish
    from workbench.query.session import (
        cluster as cluster,
        connect as connect,
        connection as connection,
        connections as connections,
        native as native,
        running as running,
        scan as scan,
        sql as sql,
        write as write,
    )
    from workbench.widgets import view as view

_SURFACE = {
    **dict.fromkeys(
        ("cluster", "connect", "connection", "connections", "native", "running", "scan", "sql", "write"),
        "workbench.query.session",
    ),
    "errors": "workbench.contract.errors",
    "parameters": "workbench.dashboards.parameters",
    "publish": "workbench.dashboards.publishing",
    "reports": "workbench.reports",
    "streams": "workbench.streams",
    "view": "workbench.widgets",
}
_MODULES = ("errors", "reports", "streams")

__all__ = [
    "cluster", "connect", "connection", "connections", "errors", "native", "parameters", "publish", "reports",
    "running", "scan", "sql", "streams", "view", "write",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _SURFACE:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    value: Any = importlib.import_module(_SURFACE[name])
    if name not in _MODULES:
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext workbench`: the SQL magics and their completion."""
    from workbench.notebook import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    from workbench.notebook import unload

    unload(shell)
