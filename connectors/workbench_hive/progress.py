"""What HiveServer2 says of a statement that it works on: its engine's vertices, or the last line of its log."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from workbench.contract.errors import DataError, QueryFailed, SnapshotChanged, UsageError
from workbench.contract.scan import Control
from workbench_hive.decode import Refused, Rows
from workbench_hive.faults import said
from workbench_hive.link import Check
from workbench_hive.session import Handle, Session
from workbench_hive.types import HiveType

__all__ = ["Progress", "vertices"]

_EVERY = 1.0
"""Seconds between two looks at the log."""
_LINES = 1000
_MOST = 100
"""Fetches of lines at a look."""
_LEVEL = re.compile(r"^(?:TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\s*:\s*")
_NAME, _TOTAL, _COMPLETED = "VERTICES", "TOTAL", "COMPLETED"


class Progress:
    """Tells a control how far an operation is. Its connection is the session's own, between two questions."""

    def __init__(self, control: Control, session: Session, operation: Handle) -> None:
        self._control, self._session, self._operation = control, session, operation
        self._looked: float | None = None
        self._logs = True

    def tell(self, status: Mapping[int, Any], check: Check) -> None:
        """`status` is the reply about the operation's state."""
        text, fraction = vertices(status.get(10))
        if not text and self._logs and (self._looked is None or time.monotonic() - self._looked >= _EVERY):
            text = self._last_line(check)
            self._looked = time.monotonic()
        if text:
            self._control.working(text, fraction)

    def _last_line(self, check: Check) -> str:
        """The newest line with something in it. A server that keeps no log is not asked again."""
        import pyarrow as pa

        rows, last = Rows([HiveType("string")], pa.schema([("line", pa.string())]), "the log"), ""
        for _ in range(_MOST):
            raw, number = self._session.log(self._operation, _LINES, check)
            try:
                found = rows.reply(raw, number).batch.column(0).to_pylist()
            except Refused:
                try:
                    self._session.answer(raw, "FetchResults", number)
                except (QueryFailed, UsageError):
                    self._logs = False
                return last
            except (DataError, SnapshotChanged):  # an odd log is no reason to break off a scan
                self._logs = False
                return last
            if not found:
                break
            lines = (_LEVEL.sub("", line or "").strip() for line in reversed(found))
            last = next(filter(None, lines), last)
        return last


def vertices(update: Any) -> tuple[str, float | None]:
    """`Map 1 3/10, Reducer 2 0/1` and how much of all that is done, of a `TProgressUpdateResp`; nothing where it is
    another thing."""
    try:
        names = [said(name) for name in update[1]]
        name, total, completed = (names.index(wanted) for wanted in (_NAME, _TOTAL, _COMPLETED))
        parts = [f"{said(row[name]).strip(' .')} {int(row[completed])}/{_known(int(row[total]))}" for row in update[2]]
        fraction = update.get(3)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return "", None
    return ", ".join(parts), fraction if parts and isinstance(fraction, float) and 0 <= fraction <= 1 else None


def _known(total: int) -> str:
    return "?" if total < 0 else str(total)
