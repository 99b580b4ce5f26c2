"""Who may watch a topic: a ticket that only who knows the engine's token can make, which is in the user's register.

A page of a published dashboard gets one from the dashboard's own code for each topic that it shows, so a viewer sees
these and no others.
"""

from __future__ import annotations

import hashlib
import hmac

from workbench.runs.register import Engine

__all__ = ["fits", "ticket"]


def ticket(engine: Engine, topic: str) -> str:
    """Good for this topic, and as long as its engine lives."""
    return hmac.new(engine.token.encode(), topic.encode(), hashlib.sha256).hexdigest()


def fits(given: str, engine: Engine, topic: str) -> bool:
    return hmac.compare_digest(given.encode(), ticket(engine, topic).encode())
