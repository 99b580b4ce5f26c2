"""The session of a command: the user's own connections and register, no notebook."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.cli.screen import ProgressLine
    from workbench.query.session import Session

__all__ = ["opened"]


@contextlib.contextmanager
def opened(progress: ProgressLine | None = None) -> Iterator[Session]:
    from workbench.catalog import Catalog, places
    from workbench.query.session import Session
    from workbench.runs import Register

    catalog = Catalog()
    register = Register(places.register(catalog.home))
    session = Session(catalog, register)
    if progress is not None:
        session.on_progress = progress.query
    try:
        yield session
    finally:
        if progress is not None:
            progress.clear()
        session.close()
        catalog.close()
        register.close()
