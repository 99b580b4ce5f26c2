"""A run as the panels are told of it: the description's `Run`."""

from __future__ import annotations

import time
from typing import Any

from workbench.runs import RunInfo

__all__ = ["described"]


def described(info: RunInfo) -> dict[str, Any]:
    """JSON values; `seconds` until now where it has not ended."""
    return {
        "id": info.id,
        "kind": info.kind,
        "title": info.title,
        "statement": info.statement,
        "state": info.state,
        "started": info.started,
        "seconds": max(0.0, (info.ended or time.time()) - info.started),
        "rows": info.rows,
        "bytes": info.bytes,
        "fraction": info.fraction,
        "connections": list(info.connections),
        "natives": [
            {"connection": one.connection, "native_id": one.native_id, "since": one.since} for one in info.natives
        ],
        "error": info.error,
        "pid": info.pid,
    }
