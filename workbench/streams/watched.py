"""A topology that runs in any process of the user, as far as it can be looked at from another one."""

from __future__ import annotations

from workbench.contract.errors import UnknownName
from workbench.runs import Register, RunInfo
from workbench.runs.register import Engine

__all__ = ["UnknownTopology", "Watched", "find"]

TITLE = "topology "


class UnknownTopology(UnknownName):
    kind = "topology that runs"


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

    def __repr__(self) -> str:
        return f"topology {self.name} ({self.state}, run {self.id}); wb.view(…) shows it"


def find(name: str, *, register: Register | None = None) -> Watched:
    """The topology of that name that was started last and still runs, in whichever process. So a notebook that is
    published shows one topology to all who look. Raises UnknownName."""
    if register is None:
        from workbench.streams.inline import own_register

        register = own_register()
    found = [info for info in register.runs(active=True, limit=1_000) if info.kind == "topology"]
    for info in sorted(found, key=lambda one: one.started, reverse=True):
        if info.title == TITLE + name:
            return Watched(register, info)
    raise UnknownTopology(name, [info.title.removeprefix(TITLE) for info in found])
