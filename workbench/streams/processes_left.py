"""What a run's process leaves when it ends, kept and published by whoever started it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.contract.errors import WorkbenchError
from workbench.runs import Register
from workbench.runs.publisher import Publisher
from workbench.streams.ended import Last
from workbench.streams.far import Far
from workbench.streams.outline import Outline
from workbench.streams.showing import Views
from workbench.streams.tapping import Taps
from workbench.streams.telling import KEEP, shape

__all__ = ["adopted"]

_log = logging.getLogger(__name__)


def adopted(
    register: Register,
    publisher: Publisher,
    run_id: str,
    outline: Outline,
    parts: Sequence[Mapping[str, Any]],
    ended: tuple[str, str],
) -> tuple[Last, bool]:
    """Publishes it from here on, and says whether it can be found here. `parts` are what `Telling.left` has given
    there; there are none where that process was killed, and `ended` says how: its state, and why it failed. What can be
    played again has no end yet: viewers may go on with the next run."""
    state = parts[0]["topic"] if parts else _nothing(outline, run_id, *ended)
    topic = publisher.topic(f"runs/{run_id}/topology", state, KEEP)
    views = Views(publisher, run_id, outline, Taps.of_outline(outline, Far))
    for part in parts[1:]:
        views.restore(part)
    lates = {name: (state.get(f"component/{name}") or {}).get("late") or 0 for name in outline.nodes}
    views.about({"state": state["state"], "error": state["error"]}, lates)
    last = Last(publisher, topic, views)
    if outline.replayable:
        views.stop()
    else:
        last.end()
    try:
        publisher.open()
        if not parts:
            register.mark_lost(run_id, ended[1])
        register.adopt(run_id)
    except (OSError, WorkbenchError) as error:
        _log.warning("Nobody can look at run %s, which is over: %s", run_id, error)
        return last, False
    return last, True


def _nothing(outline: Outline, run_id: str, state: str, failure: str) -> dict[str, Any]:
    lists: dict[str, Any] = {name: [] for name in KEEP}
    about = {"guarantees": {}, "run": run_id, "state": state, "error": failure, "uptime": 0.0}
    return {**shape(outline), **about, "replayable": outline.replayable, **lists}
