"""A topology of any process of the user, as far as it can be looked at from another one: one that runs, or the last
state of one that has ended."""

from __future__ import annotations

import asyncio
import html
import os
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import InvalidParameter, UnknownName, UsageError
from workbench.execution import threads
from workbench.runs import Register, RunInfo
from workbench.runs.register import Engine
from workbench.streams.tuples import shown as shown_value
from workbench.streams.views import definitions

if TYPE_CHECKING:
    from workbench.streams.views import StreamView

__all__ = ["UnknownTopology", "Watched", "find"]

TITLE = "topology "
MOST = 1_000
"""Runs that are looked through."""


class UnknownTopology(UnknownName):
    kind = "topology that runs or has ended lately"


class Watched:
    """`workbench.view` shows it; nothing else can be done with it. Made by `find`."""

    def __init__(self, register: Register, info: RunInfo) -> None:
        self._register = register
        self.id, self.name = info.id, info.title.removeprefix(TITLE)

    @property
    def topic(self) -> str:
        """Where it tells what it does."""
        return f"runs/{self.id}/topology"

    @property
    def engine(self) -> Engine | None:
        """The process that has it, while it can be watched."""
        return self._register.engine(self.id)

    @property
    def state(self) -> str:
        return self._register.get(self.id).state

    def shown(self, views: Sequence[StreamView]) -> str:
        """The topic of a dashboard of its streams, which its process makes. Raises ConnectionLost, Unreachable, and
        ProtocolError with what that process refuses."""
        return shown(self.engine, self.id, self.name, views)

    def next(self, run_id: str) -> Watched:
        """The run that it was started again as, where its topic has said so. Raises UnknownRun."""
        return Watched(self._register, self._register.get(run_id))

    def __repr__(self) -> str:
        return f"topology {self.name} ({self.state}, run {self.id}); wb.view(…) shows it"


def shown(engine: Engine | None, run_id: str, name: str, views: Sequence[StreamView]) -> str:
    """The topic of a dashboard of that engine's run. Raises as `Watched.shown` does."""
    from workbench.runs import subscriber

    if engine is None:
        tell_viewers(name)
        raise UsageError(f"Topology `{name}` cannot be watched: its process tells nothing, or has ended.")
    found, specs = Future[str](), [one.spec() for one in definitions(views)]

    def ask() -> None:
        try:
            found.set_result(asyncio.run(subscriber.show(engine, run_id, specs)))
        except BaseException as error:  # noqa: BLE001  # raised where it was asked
            found.set_exception(error)

    threads.run(ask)  # in a notebook's thread a loop is running already
    return found.result()


def tell_viewers(name: str) -> None:
    """On a page that viewers look at, which shows no errors: that there is nothing to be seen of it just now."""
    if "WORKBENCH_DASHBOARD" not in os.environ:
        return
    from IPython.display import display

    said = f"The topology {name[:80]} does not run just now. Load the page again when it does."
    show: Any = display
    show({"text/html": f'<p class="wb-said" role="status">{html.escape(said)}</p>', "text/plain": said}, raw=True)


def find(name: str, *, register: Register | None = None) -> Watched:
    """The topology of that name that was started last and still runs, in whichever process; where none does, the last
    state of the one that ended last. So a notebook that is published shows one topology to all who look. Raises
    UnknownName."""
    if not isinstance(name, str):
        raise InvalidParameter("name", f"is {shown_value(name, 80)}; it is a text, the name of a topology.")
    if register is None:
        from workbench.streams.registers import own_register

        register = own_register()
    runs = register.runs(active=True, limit=MOST), register.runs(active=False, limit=MOST)
    found = [sorted((one for one in some if one.kind == "topology"), key=_newest, reverse=True) for some in runs]
    for info in (*found[0], *found[1]):
        if info.title == TITLE + name:
            return Watched(register, info)
    tell_viewers(name)
    raise UnknownTopology(name, {info.title.removeprefix(TITLE) for info in (*found[0], *found[1])})


def _newest(info: RunInfo) -> tuple[float, float]:
    return info.ended or info.started, info.started
