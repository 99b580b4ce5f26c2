"""What a notebook gets of a result that is shown: a table of its first rows that every viewer shows, as text and as
HTML, and, where there is a grid to show it, the name under which the grid asks for all rows."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.query.result import Result

__all__ = ["MIME", "bundle"]

MIME = "application/vnd.workbench.result+json"
_log = logging.getLogger(__name__)


def bundle(result: Result, rows: int | None = None) -> dict[str, Any]:
    """By MIME type. From now on the result's rows are shared as files, if it is shown by a Jupyter server's kernel.
    Raises the result's error."""
    from workbench.query.rendering import SHOWN_ROWS, as_html, as_text

    found: dict[str, Any] = {
        "text/html": as_html(result, SHOWN_ROWS if rows is None else rows),
        "text/plain": as_text(result) if rows is None else as_text(result, rows),
    }
    if has_grid():
        try:
            found[MIME] = _named(result)
        except OSError as error:
            _log.warning("The result is shown without its grid: %s", error)
    return found


def has_grid() -> bool:
    """Whether this is the kernel of somebody's notebook in a Jupyter server, which alone names itself to its kernels:
    a notebook that is executed by a program, an editor, or a dashboard, has nobody to scroll in a grid of ours."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    here = "JPY_SESSION_NAME" in os.environ and "WORKBENCH_DASHBOARD" not in os.environ
    return here and getattr(shell, "kernel", None) is not None


def _named(result: Result) -> dict[str, Any]:
    shared = result.share()
    count = result.rows
    return {
        "id": shared.id,
        "rows": count.rows,
        "state": {"exact": "done", "capped": "capped"}.get(count.state, "running"),
        "columns": [{"name": field.name, "type": str(field.type)} for field in shared.schema],
    }
