"""The quick way to emit: a bolt's default stream that one bolt alone takes, row by row, acking on return.

Emitting and calling are one function here, whose counters are its own variables. That is half of the time that the
general way takes (`emitting.py`, `delivering.py`), and what it does is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import get_ident
from typing import Any

from workbench.contract.errors import InvalidParameter
from workbench.streams.component import DEFAULT
from workbench.streams.counting import Out
from workbench.streams.delivering import Deliver, failing
from workbench.streams.emitting import width_refused
from workbench.streams.groupings import Grouping
from workbench.streams.javahash import deep_hash
from workbench.streams.routing import KeyRoom, key_refused
from workbench.streams.task import Deferred, Task
from workbench.streams.tracking import Tracking
from workbench.streams.tuples import Tuple, row_of

__all__ = ["plain", "quick"]

Emit = Callable[..., None]
Each = Callable[[Iterable[Any]], None]


def quick(
    task: Task, out: Out, make: type[Tuple], grouping: Grouping, delivers: Sequence[Deliver], tracking: Tracking
) -> Callable[[Emit], tuple[Emit, Each]] | None:
    """What makes the quick `emit`, and the one for many rows, out of the general one; None where there is none."""
    if len(delivers) == 1 and grouping.kind not in ("all", "custom", "direct"):
        return lambda general: _to_one(task, out, make, delivers[0], tracking, general)
    if grouping.kind == "fields" and len(grouping.fields) == 1:
        place = out.fields.index(grouping.fields[0])
        return lambda general: _by_key(task, out, make, place, delivers, tracking, general)
    return None


def _to_one(
    task: Task, out: Out, make: type[Tuple], deliver: Deliver, tracking: Tracking, general: Emit
) -> tuple[Emit, Each]:
    taker, link, row = deliver.task, deliver.link, deliver.row
    execute, every, width = taker.execute(), taker.sample_every, len(out.fields)
    failed = failing(taker, link, tracking)
    number = 0
    deferred: Deferred | None = None

    def emit(
        values: Any, stream: str = DEFAULT, anchors: Iterable[Tuple] | None = None, message_id: Any = None
    ) -> None:
        nonlocal number
        if stream is not DEFAULT or anchors is not None:
            general(values, stream, anchors)
            return
        if values.__class__ is not tuple:
            values = row_of(values)
        if len(values) != width:
            raise width_refused(task.component, out, values)
        if deferred is not None:
            out.counted += 1
            deferred.append((row, make(values)))
            return
        number += 1
        if number % every:
            try:
                execute(make(values))
            except Exception as error:  # noqa: BLE001
                failed(error, values)
        elif get_ident() != task.thread:  # looked at now and then, for it takes a tenth of the time
            number -= 1
            general(values)
        else:
            try:
                taker.timed(link, execute, make(values))
            except Exception as error:  # noqa: BLE001
                failed(error, values)

    def defer(on: Deferred | None) -> None:
        nonlocal deferred
        deferred = on

    def emit_each(rows: Iterable[Any]) -> None:
        for values in rows:
            emit(values)

    task.defers.append(defer)
    link.counts.append(lambda: number)
    out.counts.append(lambda: number)
    return emit, emit_each


def plain(
    task: Task, out: Out, make: type[Tuple], hand_on: Callable[[Tuple], None]
) -> Callable[[Emit], tuple[Emit, Each]]:
    """The same where the rows go to others as well, or to another process: whoever takes them is called as always, and
    only the emitting is quick."""
    return lambda general: _emitting(task, out, make, hand_on, general)


def _emitting(
    task: Task, out: Out, make: type[Tuple], hand_on: Callable[[Tuple], None], general: Emit
) -> tuple[Emit, Each]:
    every, width = task.sample_every, len(out.fields)
    number = 0
    deferred: Deferred | None = None

    def emit(
        values: Any, stream: str = DEFAULT, anchors: Iterable[Tuple] | None = None, message_id: Any = None
    ) -> None:
        nonlocal number
        if stream is not DEFAULT or anchors is not None:
            general(values, stream, anchors)
            return
        if values.__class__ is not tuple:
            values = row_of(values)
        if len(values) != width:
            raise width_refused(task.component, out, values)
        if deferred is not None:
            out.counted += 1
            deferred.append((hand_on, make(values)))
            return
        number += 1
        if number % every or get_ident() == task.thread:
            hand_on(make(values))
        else:
            number -= 1
            general(values)

    def defer(on: Deferred | None) -> None:
        nonlocal deferred
        deferred = on

    def emit_each(rows: Iterable[Any]) -> None:
        for values in rows:
            emit(values)

    task.defers.append(defer)
    out.counts.append(lambda: number)
    return emit, emit_each


class _Taker:
    """One of the tasks that a key may lead to: `cell` counts its calls."""

    __slots__ = ("_link", "_task", "cell", "execute", "failed", "row")

    def __init__(self, deliver: Deliver, tracking: Tracking) -> None:
        self.execute, self.row, self.cell = deliver.task.execute(), deliver.row, [0]
        self.failed = failing(deliver.task, deliver.link, tracking)
        self._task, self._link = deliver.task, deliver.link
        deliver.link.counts.append(lambda: self.cell[0])

    def timed(self, given: Tuple) -> None:
        try:
            self._task.timed(self._link, self.execute, given)
        except Exception as error:  # noqa: BLE001
            self.failed(error, given)


def _by_key(
    task: Task,
    out: Out,
    make: type[Tuple],
    place: int,
    delivers: Sequence[Deliver],
    tracking: Tracking,
    general: Emit,
) -> tuple[Emit, Each]:
    takers, width, every = [_Taker(deliver, tracking) for deliver in delivers], len(out.fields), task.sample_every
    places: dict[str, _Taker] = {}
    consumer = delivers[0].task.component
    lists = 0
    known: dict[Any, tuple[Callable[[Tuple], None], Tuple, list[int], _Taker]] = {}
    room = KeyRoom(places, known)
    deferred: Deferred | None = None

    def found(values: Any) -> tuple[Callable[[Tuple], None], Tuple, list[int], _Taker]:
        """Whoever takes these values, and their tuple. Those of a stream of one field are remembered, for they come
        again and cannot change; only texts, because 1, 1.0 and True are one key of a dict and three in Java."""
        row = row_of(values)
        if len(row) != width:
            raise width_refused(task.component, out, row)
        key = row[place]
        taker = places.get(key) if type(key) is str else None
        keep = taker is not None
        if taker is None:
            try:
                taker = takers[deep_hash((key,)) % len(takers)]
            except InvalidParameter:
                raise key_refused(task.component, consumer, out.fields[place : place + 1], out.fields, row) from None
            if type(key) is str and room.takes(key):
                places[key], keep = taker, True
        what = taker.execute, make(row), taker.cell, taker
        if keep and width == 1 and values.__class__ in (tuple, str):
            known[values] = what
        return what

    def emit_each(rows: Iterable[Any]) -> None:
        nonlocal lists
        if width > 1:
            for values in rows:
                emit_more(values)
            return
        if deferred is not None:
            kept: list[Any] = []
            deferred.append((emit_each, kept))
            kept.extend(rows)  # as far as it comes: whoever gives them may raise
            return
        lists += 1
        if lists % every:
            for values in rows:
                try:
                    execute, given, cell, taker = known[values]
                except (KeyError, TypeError):
                    execute, given, cell, taker = found(values)
                cell[0] += 1
                try:
                    execute(given)
                except Exception as error:  # noqa: BLE001
                    taker.failed(error, given)
            return
        if get_ident() != task.thread:
            general(next(iter(rows), None))  # refuses it
        for values in rows:  # one list in some is timed, row by row
            try:
                _, given, cell, taker = known[values]
            except (KeyError, TypeError):
                _, given, cell, taker = found(values)
            cell[0] += 1
            taker.timed(given)

    def emit(
        values: Any, stream: str = DEFAULT, anchors: Iterable[Tuple] | None = None, message_id: Any = None
    ) -> None:
        if stream is not DEFAULT or anchors is not None:
            general(values, stream, anchors)
            return
        try:
            execute, given, cell, taker = known[values]
        except (KeyError, TypeError):  # new, or a list, which is no key of a dict
            execute, given, cell, taker = found(values)
        if deferred is not None:
            out.counted += 1
            deferred.append((taker.row, given))
            return
        cell[0] = number = cell[0] + 1
        if number % every:
            try:
                execute(given)
            except Exception as error:  # noqa: BLE001
                taker.failed(error, given)
        elif get_ident() != task.thread:
            cell[0] -= 1
            general(values)
        else:
            taker.timed(given)

    def emit_more(
        values: Any, stream: str = DEFAULT, anchors: Iterable[Tuple] | None = None, message_id: Any = None
    ) -> None:
        if stream is not DEFAULT or anchors is not None:
            general(values, stream, anchors)
            return
        if values.__class__ is not tuple:
            values = row_of(values)
        if len(values) != width:
            raise width_refused(task.component, out, values)
        try:
            taker = places[values[place]]
        except (KeyError, TypeError):
            taker = found(values)[3]
        if deferred is not None:
            out.counted += 1
            deferred.append((taker.row, make(values)))
            return
        cell = taker.cell
        cell[0] = number = cell[0] + 1
        if number % every:
            try:
                taker.execute(make(values))
            except Exception as error:  # noqa: BLE001
                taker.failed(error, values)
        elif get_ident() != task.thread:
            cell[0] -= 1
            general(values)
        else:
            taker.timed(make(values))

    def defer(on: Deferred | None) -> None:
        nonlocal deferred
        deferred = on

    task.defers.append(defer)
    out.counts.append(lambda: sum(taker.cell[0] for taker in takers))
    return (emit if width == 1 else emit_more), emit_each
