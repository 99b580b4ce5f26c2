"""The registers that topologies run in, one object each for a process, and who looks there for whom to stop."""

from __future__ import annotations

import weakref

from workbench.execution.stop import Watch
from workbench.runs import Register

__all__ = ["own_register", "watch"]

_watches: weakref.WeakKeyDictionary[Register, Watch] = weakref.WeakKeyDictionary()
_registers: dict[str, Register] = {}


def own_register() -> Register:
    """The user's."""
    from workbench.catalog import places

    path = places.register()
    return _registers.setdefault(str(path), Register(path))


def watch(register: Register) -> Watch:
    found = _watches.get(register)
    if found is None:
        found = _watches[register] = Watch(register)
    return found
