"""Where reports and events are saved: the user's documents."""

from __future__ import annotations

from workbench.catalog import places
from workbench.documents import DocumentStore

__all__ = ["store"]


def store() -> DocumentStore:
    return DocumentStore(places.documents())
