"""Who may watch a topic: a ticket that only who knows the engine's token can make, which is in the user's register.

A page of a published dashboard gets one from the dashboard's own code for each topic that it shows, so a viewer sees
these and no others; and it names the dashboard as it was published then, so that it ends with that.
"""

from __future__ import annotations

import hashlib
import hmac

from workbench.runs.register import Engine

__all__ = ["fits", "page_of", "ticket"]


def ticket(engine: Engine, topic: str, page: str) -> str:
    """Good for this topic on that `Dashboard.page`, and as long as its engine lives."""
    return f"{page}.{hmac.new(engine.token.encode(), f'{page} {topic}'.encode(), hashlib.sha256).hexdigest()}"


def page_of(given: str) -> str:
    """Which page a ticket says that it is for."""
    return given.rpartition(".")[0]


def fits(given: str, engine: Engine, topic: str) -> bool:
    return hmac.compare_digest(given.encode(), ticket(engine, topic, page_of(given)).encode())
