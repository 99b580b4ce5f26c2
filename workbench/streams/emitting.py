"""What a component's collector does in one process: closures that check a row, count it, and call whoever takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import get_ident
from typing import Any

from workbench.contract.errors import EmitRefused, UnknownStream
from workbench.streams.bursts import emitting_rows
from workbench.streams.component import DEFAULT
from workbench.streams.counting import Out
from workbench.streams.task import Task
from workbench.streams.topology import DEAD_LETTER
from workbench.streams.tracking import Source, Tracking
from workbench.streams.tuples import Batch, Held, Row, Tuple, row_of, shown
from workbench.streams.windows import LATE

__all__ = ["BoltCollector", "Outlet", "SpoutCollector", "width_refused"]

Post = Callable[[Callable[..., None], tuple[Any, ...]], None]
"""Has something called in the runner's thread, soon; waits while much is queued. Raises EmitRefused after the end."""


@dataclass
class Outlet:
    """A stream of one task, wired: `row` and `batch` hand on to whoever takes it, `direct` to one task by its id."""

    out: Out
    make: type[Tuple]
    row: Callable[[Tuple], None]
    batch: Callable[[Batch], None]
    direct: dict[int, Callable[[Tuple], None]] | None = None
    fast: Callable[[Callable[..., None]], tuple[Callable[..., None], Callable[..., None]]] | None = None
    """Makes `emit` and `emit_each` of a bolt that acks on return, where there are quick ones, out of the general one.
    """


class _Collector:
    """What both kinds share. `emit` is put in by the sub-class: a closure, for it is called the most."""

    def __init__(self, task: Task, outlets: dict[str, Outlet], tracking: Tracking, post: Post, log: Any) -> None:
        self._task, self._outlets, self._tracking, self._post, self._log = task, outlets, tracking, post, log

    def report_error(self, error: BaseException) -> None:
        self._task.raised(error)

    def log(self, text: str) -> None:
        self._log(self._task.component, text)

    def _outlet(self, stream: str) -> Outlet:
        outlet = self._outlets.get(stream)
        own = (DEAD_LETTER, LATE)  # the runner's own
        if outlet is None or (stream in own and stream not in self._task.node.outputs):
            known = [name for name in self._outlets if name not in own]
            raise UnknownStream(
                stream, known, f"Component `{self._task.component}` declares it nowhere; see `outputs`."
            )
        return outlet

    def _row(self, outlet: Outlet, values: object) -> Row:
        row = row_of(values)
        if len(row) != len(outlet.out.fields):
            raise width_refused(self._task.component, outlet.out, row)
        return row

    def _batch(self, outlet: Outlet, rows: Any) -> Batch:
        fields = outlet.out.fields
        if isinstance(rows, str | bytes | Mapping) or not (hasattr(rows, "__iter__") or hasattr(rows, "to_pydict")):
            raise EmitRefused(
                self._task.component,
                f"stream `{outlet.out.stream}` is to get the batch {shown(rows, 100)}; a batch is a list of rows, a "
                "Batch or an Arrow table.",
            )
        batch = rows if isinstance(rows, Batch) else Batch(rows)
        origin = batch.origin
        if batch.columnar:
            if batch.fields != fields:
                batch = self._in_order(outlet.out, batch)
        else:
            listed = batch.rows
            if not set(map(type, listed)) <= {tuple} or not set(map(len, listed)) <= {len(fields)}:
                listed = [self._row(outlet, row) for row in listed]
            batch = Batch.of_rows(listed, fields)
        batch.fields, batch.origin = fields, origin
        batch.source_component, batch.source_stream = self._task.component, outlet.out.stream
        return batch

    def _in_order(self, out: Out, batch: Batch) -> Batch:
        """Its table with the columns in the order of the stream's fields."""
        if len(batch.fields) != len(out.fields):
            raise width_refused(self._task.component, out, batch.fields)
        if sorted(batch.fields) != sorted(out.fields):
            raise EmitRefused(
                self._task.component,
                f"stream `{out.stream}` has the fields {', '.join(out.fields)}, and its Arrow table the columns "
                f"{', '.join(batch.fields)}. Name them alike: table.rename_columns({list(out.fields)}).",
            )
        return Batch(batch.table.select([batch.fields.index(name) for name in out.fields]), out.fields)

    def _direct(self, outlet: Outlet, task: int) -> Callable[[Tuple], None]:
        if outlet.direct is None:
            raise EmitRefused(
                self._task.component,
                f"stream `{outlet.out.stream}` is not declared as direct, so it cannot be emitted to task {task}. "
                f'Say direct = ("{outlet.out.stream}",) in its class.',
            )
        if task not in outlet.direct:
            raise EmitRefused(
                self._task.component,
                f"no task {task} takes stream `{outlet.out.stream}`; there are {sorted(outlet.direct)}.",
            )
        return outlet.direct[task]


class BoltCollector(_Collector):
    """Of a bolt."""

    def __init__(self, task: Task, outlets: dict[str, Outlet], tracking: Tracking, post: Post, log: Any) -> None:
        super().__init__(task, outlets, tracking, post, log)
        self._own_acks = not task.instance.auto_ack
        outlet = outlets.get(DEFAULT)
        if outlet and outlet.fast and not self._own_acks:
            self.emit, self.emit_each = outlet.fast(self.emit_general)
        else:
            self.emit, self.emit_each = self.emit_general, self._emit_each

    def emit_general(
        self, values: Any, stream: str = DEFAULT, anchors: Iterable[Tuple] | None = None, message_id: Any = None
    ) -> None:
        """Any stream, any anchors, from any thread."""
        outlet = self._outlet(stream)
        row = self._row(outlet, values)
        self._send(self._anchors(anchors), self._emitted, outlet, outlet.make(row), outlet.row)

    def _emit_each(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self.emit_general(row)

    def emit_batch(
        self, rows: Any, stream: str = DEFAULT, anchors: Iterable[Tuple] | None = None, message_id: Any = None
    ) -> None:
        outlet = self._outlet(stream)
        self._send(self._anchors(anchors), self._emitted, outlet, self._batch(outlet, rows), outlet.batch)

    def emit_direct(
        self,
        task: int,
        values: Any,
        stream: str = DEFAULT,
        anchors: Iterable[Tuple] | None = None,
        message_id: Any = None,
    ) -> None:
        outlet = self._outlet(stream)
        hand_on = self._direct(outlet, task)
        row = self._row(outlet, values)
        self._send(self._anchors(anchors), self._emitted, outlet, outlet.make(row), hand_on)

    def ack(self, tuple: Held) -> None:  # noqa: A002
        self._settle(tuple, "acked")
        self._send(None, self._acked, tuple)

    def fail(self, tuple: Held) -> None:  # noqa: A002
        self._settle(tuple, "failed")
        self._send(None, self._failed, tuple)

    def reset_timeout(self, tuple: Held) -> None:  # noqa: A002
        self._must_hold(tuple)
        self._send(None, self._tracking.reset_timeout, tuple)

    def dead_letter(self, values: Any, tries: int, message_id: Any = None) -> None:
        raise EmitRefused(
            self._task.component, "only a spout gives tuples up. Fail it: raise, or collector.fail(tuple)."
        )

    # --- in the runner's thread

    def _send(self, anchors: tuple[Any, ...] | None, call: Callable[..., None], *given: Any) -> None:
        """Now, or later in the runner's thread; `anchors` None: those that hold."""
        if get_ident() == self._task.thread:
            self._send_now(anchors, call, *given)
        elif self._own_acks:
            self._post(self._send_now, (anchors, call, *given))
        else:
            raise EmitRefused(
                self._task.component,
                "it emits from a thread of its own, and acks on return. Say auto_ack = False in its class, and ack "
                "each tuple when it is done.",
            )

    def _send_now(self, anchors: tuple[Any, ...] | None, call: Callable[..., None], *given: Any) -> None:
        deferred = self._task.deferred
        if deferred is not None and (self._own_acks or anchors is not None):
            # In order: an ack must know of the edges that were emitted before it.
            deferred.append((lambda what: self._under(anchors, call, *what), given))
        else:
            self._under(anchors, call, *given)

    def _under(self, anchors: tuple[Any, ...] | None, call: Callable[..., None], *given: Any) -> None:
        if anchors is None or anchors == self._tracking.anchors:
            call(*given)
        else:
            self._tracking.with_anchors(anchors, call, *given)

    def _emitted(self, outlet: Outlet, what: Any, hand_on: Callable[[Any], None]) -> None:
        outlet.out.counted += len(what) if what.__class__ is Batch else 1
        if self._task.deferred is not None:
            self._task.deferred.append((hand_on, what))
        else:
            hand_on(what)

    def _acked(self, held: Held) -> None:
        held.link.own_acked += 1
        self._time(held)
        self._tracking.ack(held)

    def _failed(self, held: Held) -> None:
        held.link.failed += 1
        self._time(held)
        self._tracking.fail(held.edges, (self._task.component, "it was failed by its bolt"))

    def _time(self, held: Held) -> None:
        if held.began:
            held.link.process.add(self._task.clock() - held.began)

    # --- checking

    def _anchors(self, anchors: Iterable[Tuple] | None) -> tuple[Any, ...] | None:
        if not self._own_acks:
            return None if anchors is None or any(True for _ in anchors) else ()
        given = tuple(anchors or ())
        for one in given:
            self._must_hold(one)
        return given

    def _must_hold(self, one: object) -> None:
        if not isinstance(one, Held):
            own = "what it was not given" if self._own_acks else "by itself, but it acks on return"
            raise EmitRefused(
                self._task.component,
                f"it acks, fails or anchors to {one!r}, {own}. A bolt with auto_ack = False does so with the tuples "
                "that `execute` gets.",
            )
        if one.settled:
            raise EmitRefused(
                self._task.component,
                f"{one!r} was {one.settled} before; emit what is anchored to it first, and ack it once, last.",
            )

    def _settle(self, one: Held, how: str) -> None:
        self._must_hold(one)
        one.settled = how


class SpoutCollector(_Collector):
    """Of a spout."""

    def __init__(
        self,
        task: Task,
        outlets: dict[str, Outlet],
        tracking: Tracking,
        post: Post,
        log: Any,
        source: Source,
        acking: bool,
        buried: Callable[[Task, Row, int, Any], None],
    ) -> None:
        super().__init__(task, outlets, tracking, post, log)
        self._source, self._acking, self._buried = source, acking, buried
        default = outlets.get(DEFAULT)
        self.emit = self._quick(default, default.out, default.row, default.make) if default else self.emit_general
        self.emit_rows = emitting_rows(task, default, tracking, source, acking) if default else None

    def emit_general(
        self, values: Any, stream: str = DEFAULT, anchors: Iterable[Tuple] | None = None, message_id: Any = None
    ) -> None:
        """On any stream, from any thread."""
        outlet = self._outlet(stream)
        self._root(outlet, outlet.row, outlet.make(self._row(outlet, values)), 1, message_id)

    def emit_batch(
        self, rows: Any, stream: str = DEFAULT, anchors: Iterable[Tuple] | None = None, message_id: Any = None
    ) -> None:
        outlet = self._outlet(stream)
        batch = self._batch(outlet, rows)
        self._root(outlet, outlet.batch, batch, len(batch), message_id)

    def emit_direct(
        self,
        task: int,
        values: Any,
        stream: str = DEFAULT,
        anchors: Iterable[Tuple] | None = None,
        message_id: Any = None,
    ) -> None:
        outlet = self._outlet(stream)
        self._root(outlet, self._direct(outlet, task), outlet.make(self._row(outlet, values)), 1, message_id)

    def ack(self, tuple: Held) -> None:  # noqa: A002
        raise EmitRefused(self._task.component, "a spout has no tuples to ack; it is told by its own `ack` and `fail`.")

    fail = reset_timeout = ack

    def dead_letter(self, values: Any, tries: int, message_id: Any = None) -> None:
        for values in values.legible() if isinstance(values, Batch) else (row_of(values),):  # noqa: B020
            self._buried(self._task, values, tries, message_id)

    def _root(self, outlet: Outlet, hand_on: Callable[[Any], None], what: Any, rows: int, message_id: Any) -> None:
        task, tracking, source, out = self._task, self._tracking, self._source, outlet.out
        if get_ident() != task.thread:
            raise EmitRefused(task.component, "it emits from a thread of its own. Queue it, and emit in `next_tuple`.")
        source.calls += 1
        out.counted = number = out.counted + rows
        if message_id is None or not self._acking:
            out.loose += rows
            hand_on(what)
            if tracking.dirty:
                tracking.flush()
            if message_id is not None:
                source.acks.append(message_id)  # as Storm does without ackers
            return
        began = 0.0 if rows == 1 and number % task.sample_every else task.clock()
        tracking.anchors = source.anchors
        try:
            hand_on(what)
            if tracking.dirty:
                tracking.flush()
        finally:
            tracking.anchors = ()
        if source.anchor.busy:
            tracking.settled(source, message_id, out, rows, began)
            return
        out.settled += rows
        source.acks.append(message_id)
        if began:
            out.complete.add(task.clock() - began)

    def _quick(
        self, outlet: Outlet, out: Out, hand_on: Callable[[Tuple], None], make: type[Tuple]
    ) -> Callable[..., None]:
        """`emit` on the default stream, with a message id, as far as nothing holds the tuple; else the general one."""
        task, tracking, source, general = self._task, self._tracking, self._source, self.emit_general
        anchor, anchors_of_it, width, every = source.anchor, source.anchors, len(out.fields), task.sample_every
        acks, acking = source.acks, self._acking

        def emit(
            values: Any, stream: str = DEFAULT, anchors: Iterable[Tuple] | None = None, message_id: Any = None
        ) -> None:
            if stream is not DEFAULT or values.__class__ is not tuple or len(values) != width:
                general(values, stream, anchors, message_id)
                return
            if message_id is None:
                out.counted += 1
                out.loose += 1
                source.calls += 1
                hand_on(make(values))
                if tracking.dirty:
                    tracking.flush()
                return
            out.counted = number = out.counted + 1
            if not number % every or not acking:
                out.counted -= 1
                general(values, stream, anchors, message_id)
                return
            source.calls += 1
            tracking.anchors = anchors_of_it
            try:
                hand_on(make(values))
                if tracking.dirty:
                    tracking.flush()
            finally:
                tracking.anchors = ()
            if anchor.busy:
                tracking.settled(source, message_id, out, 1, 0.0)
            else:
                out.settled += 1
                acks.append(message_id)

        return emit


def width_refused(component: str, out: Out, row: Any) -> EmitRefused:
    names = ", ".join(out.fields) or "no fields"
    return EmitRefused(
        component,
        f"stream `{out.stream}` has {len(out.fields)} field{'s' if len(out.fields) != 1 else ''} ({names}), and "
        f"{str(tuple(row))[:200]} has {len(row)}. Emit a value for each, or declare others in `outputs`.",
    )
