"""What a bolt keeps from tuple to tuple, where snapshots can see it; and the way back when a tuple's tree fails.

    class CountPages(StatefulBolt):
        outputs = ("page", "count")

        def execute(self, tuple):
            count = self.state[tuple.page] = self.state.get(tuple.page, 0) + 1
            self.collector.emit((tuple.page, count))

Plain code of the standard library: it travels to Storm's workers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, ClassVar

from workbench.streams.component import Bolt
from workbench.streams.encoding import NotPlain, canonical, to_text
from workbench.streams.tuples import shown

__all__ = ["Change", "State", "StatefulBolt", "Unit", "Units", "gives_again"]

Change = tuple[str, str, str | None]
"""A key as one text for all that are equal, the key, and its value; None: it was removed."""

_FIXED = frozenset((int, str, float, bool, bytes, type(None)))
_MISSING = object()
Unit = int
"""A number of what is applied as one: a spout's tuple with all that is done in its call, or one window."""


def gives_again(spout: Any) -> bool:
    """Whether a run can go on from a position of that spout."""
    return bool(spout.replays or spout.repeats)


class Units:
    """Which unit is at work just now: of several, one within another, the innermost. `roots` gives a number that
    grows with each tuple that a spout emits."""

    def __init__(self, roots: Callable[[], int] = lambda: 0) -> None:
        self._roots, self._inner, self._last = roots, list[Unit](), 0

    @property
    def now(self) -> Unit:
        return self._inner[-1] if self._inner else self._roots()

    @property
    def root(self) -> Unit:
        return self._roots()

    def alive(self, unit: Unit) -> bool:
        return unit in self._inner or unit == self._roots()

    def begin(self) -> Unit:
        """A window is handed out."""
        self._last -= 1
        self._inner.append(self._last)
        return self._last

    def end(self) -> None:
        self._inner.pop()


class State(MutableMapping[Any, Any]):
    """A dict. In a run with `state=` its values are in the snapshots: plain ones (None, numbers, text, bytes, lists,
    dicts, sets, dates, Arrow tables, …), of which lists and the like may be changed in place while the tuple is
    worked on with which they were asked for. When that tuple's tree fails, its changes are undone."""

    def __init__(self, values: dict[Any, Any] | None = None, units: Units | None = None) -> None:
        self._values: dict[Any, Any] = values if values is not None else {}
        self._units = units
        self._before: list[tuple[Unit, dict[Any, Any]]] = []
        """What was there before each unit that is at work, the outermost first."""
        self._torn: set[Unit] = set()
        """Units that cannot be undone, because one within them has changed the same."""
        self._changed: set[Any] = set()

    def __getitem__(self, key: Any) -> Any:
        value = self._values[key]
        if self._units is not None and value.__class__ not in _FIXED:
            self._note(key)  # it may be changed in place
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self._values else default

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._units is not None:
            self._note(key)
        self._values[key] = value

    def __delitem__(self, key: Any) -> None:
        if key not in self._values:
            raise KeyError(key)
        if self._units is not None:
            self._note(key)
        del self._values[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __repr__(self) -> str:
        return f"State({self._values!r})"

    # --- the way back

    def _note(self, key: Any) -> None:
        assert self._units is not None
        unit, logs = self._units.now, self._before
        if not logs or logs[-1][0] != unit:
            self._close()
            if not logs or logs[-1][0] != unit:
                logs.append((unit, {}))
        log = logs[-1][1]
        if key in log:
            return
        old = self._values.get(key, _MISSING)
        log[key] = old if old.__class__ in _FIXED or old is _MISSING else copy.deepcopy(old)
        self._changed.add(key)

    def _close(self) -> None:
        """Lets go of the logs of units that are over: they have gone well."""
        units = self._units
        assert units is not None
        while self._before and not units.alive(self._before[-1][0]):
            _, log = self._before.pop()
            if self._before and not log.keys().isdisjoint(self._before[-1][1]):
                self._torn.add(self._before[-1][0])
        if not self._before:
            self._torn.clear()

    def undo(self, unit: Unit) -> bool:
        """As if the unit had not been, which is at work still. False: it cannot be told."""
        self._close()
        if not self._before or self._before[-1][0] != unit:
            return True
        _, log = self._before.pop()
        for key, old in log.items():
            if old is _MISSING:
                self._values.pop(key, None)
            else:
                self._values[key] = old
        return unit not in self._torn

    # --- snapshots

    def changes(self) -> list[Change]:
        """What has changed since `saved`. Raises NotPlain."""
        found: list[Change] = []
        for key in self._changed:
            value = self._values.get(key, _MISSING)
            try:
                text = None if value is _MISSING else to_text(value)
            except NotPlain as error:
                raise NotPlain(error.value, shown(key, 100)) from None
            found.append((canonical(key), to_text(key), text))
        return found

    def saved(self) -> None:
        self._changed.clear()

    def restore(self, values: dict[Any, Any]) -> None:
        self._values.clear()
        self._values.update(values)
        self._changed.clear()
        self._before.clear()


class StatefulBolt(Bolt):
    """A bolt that keeps something: in `state`, which is there when `prepare` is called, with what a snapshot had.
    Each task has its own; with `fields` grouping it has all of its keys. Storm calls it the same."""

    state: State
    stateful: ClassVar[bool] = True
