"""Which task of a bolt gets a tuple: Storm's groupings, as plain values.

The standard library only: they travel to Storm's workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.contract.errors import InvalidParameter

__all__ = [
    "Grouping",
    "all_",
    "custom",
    "direct",
    "fields",
    "global_",
    "local_or_shuffle",
    "none",
    "partial_key",
    "shuffle",
]

Chooser = Callable[[tuple[Any, ...], Sequence[int]], Sequence[int]]
"""Of a custom grouping: gets a row and the bolt's task ids, gives those that it goes to."""

KINDS = ("shuffle", "fields", "partial_key", "all", "global", "none", "direct", "local_or_shuffle", "custom")


@dataclass(frozen=True)
class Grouping:
    """A kind of grouping; `fields` are the key of `fields` and `partial_key`, `choose` is the function of `custom`."""

    kind: str
    fields: tuple[str, ...] = ()
    choose: Chooser | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidParameter(
                "grouping", f"is `{self.kind}`; Storm knows {', '.join(f'`{one}`' for one in KINDS)}."
            )
        if self.kind in ("fields", "partial_key") and not self.fields:
            raise InvalidParameter("grouping", f'`{self.kind}` needs at least one field: {self.kind}("page").')
        if self.kind == "custom" and not callable(self.choose):
            raise InvalidParameter("grouping", "`custom` needs a function of a row and the task ids: custom(choose).")

    def __str__(self) -> str:
        if self.kind == "custom":
            return f"custom({getattr(self.choose, '__qualname__', self.choose)})"
        return f"{self.kind}({', '.join(self.fields)})" if self.fields else self.kind


def shuffle() -> Grouping:
    """Each task in turn, so that all get as many."""
    return Grouping("shuffle")


def fields(*names: str) -> Grouping:
    """Equal values of these fields go to the same task, here and on Storm."""
    return Grouping("fields", names)


def partial_key(*names: str) -> Grouping:
    """Equal values go to one of two tasks, to the one that got less: for keys of which a few are far more frequent."""
    return Grouping("partial_key", names)


def all_() -> Grouping:
    """Every task gets every tuple."""
    return Grouping("all")


def global_() -> Grouping:
    """All tuples go to the task with the lowest id."""
    return Grouping("global")


def none() -> Grouping:
    """It does not matter which: a task by chance."""
    return Grouping("none")


def direct() -> Grouping:
    """Whoever emits says the task: `collector.emit_direct(task, values)`, on a stream that is declared as direct."""
    return Grouping("direct")


def local_or_shuffle() -> Grouping:
    """Tasks of the same process first; within one process that is `shuffle`."""
    return Grouping("local_or_shuffle")


def custom(choose: Chooser) -> Grouping:
    """`choose(row, tasks)` gives the ids, out of `tasks`, that the row goes to."""
    return Grouping("custom", choose=choose)
