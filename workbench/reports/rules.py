"""What a session, a bounce and a duration are: chosen by name, and printed beside the numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.contract.errors import InvalidParameter, near

__all__ = ["PASSIVE", "RULES", "Rules", "rules"]

TIMEOUT = 30 * 60_000
ENGAGED = 10_000
PASSIVE = (
    *("session_start", "first_visit", "first_open", "user_engagement", "engagement", "scroll"),
    *("page_leave", "pageleave", "$pageleave", "pageend", "heartbeat", "ping"),
)
"""Events that a tracker sends by itself: not an interaction, unless `Events(passive=…)` says otherwise."""

_SESSIONS = (
    "Visitors are the distinct values of the user column over the whole period, never a sum of days. A session is a "
    "longest run of one user's events with no more than 30 minutes between neighbours{cut}; it belongs to the time of "
    "its first event, and is followed for at most 24 hours beyond the end of the period."
)


@dataclass(frozen=True)
class Rules:
    """One product's rules. `midnight`: a session ends with the local day."""

    name: str
    label: str
    midnight: bool
    text: str
    timeout: int = TIMEOUT

    @property
    def statement(self) -> str:
        cut = ", and none over midnight" if self.midnight else ", over midnight too"
        return f"{self.label}: {_SESSIONS.format(cut=cut)} {self.text}"

    def bounced(
        self, lasted: NDArray[np.int64], views: NDArray[np.int64], active: NDArray[np.int64], key: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Of sessions: `lasted` is their length in ms, the others count page views, interactive and key events."""
        if self.name == "ga4":
            return ~((lasted > ENGAGED) | (views >= 2) | (key > 0))
        few: NDArray[np.bool_] = views <= 1
        return few & (active == 0) if self.name == "plausible" else few

    def lengths(self, milliseconds: NDArray[np.int64], bounced: NDArray[np.bool_]) -> NDArray[np.int64]:
        """What counts as the sessions' duration."""
        return np.where(bounced, 0, milliseconds) if self.name == "plausible" else milliseconds


RULES = {
    one.name: one
    for one in (
        Rules(
            "ga4",
            "As Google Analytics 4",
            False,
            "A session is engaged when it lasts more than 10 seconds, or has two page views, or a key event; all "
            "others bounced. Its duration is the time from its first to its last event, bounces included.",
        ),
        Rules(
            "matomo",
            "As Matomo",
            True,
            "A session with at most one page view bounced. Its duration is the time from its first to its last event, "
            "bounces included. A new campaign begins no new session.",
        ),
        Rules(
            "plausible",
            "As Plausible",
            False,
            "A session with at most one page view and no interactive event bounced. Its duration is the time from its "
            "first to its last event; bounces count as 0 seconds, and are in the mean.",
        ),
    )
}


def rules(name: str) -> Rules:
    found = RULES.get(name) if isinstance(name, str) else None
    if found is None:
        did = near(str(name), RULES)
        hint = f" Did you mean `{did[0]}`?" if did else ""
        raise InvalidParameter("definition", f"is `{name}`; there are `ga4`, `matomo` and `plausible`.{hint}")
    return found
