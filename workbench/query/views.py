"""Sorted, filtered and searched views of shared results. A child process (`views_child.py`) finds the rows and tells
them as it does; what is kept of a view is the numbers of its rows, in a file without a name that is mapped into memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from workbench.contract.errors import (
    Cancelled,
    DocumentError,
    InvalidParameter,
    LimitExceeded,
    UnknownResult,
    UnknownView,
    WorkbenchError,
)
from workbench.execution.shared_reading import SharedReader
from workbench.query.conditions import Conditions
from workbench.query.readers import Readers
from workbench.query.views_process import GRACE, Broken, Child, Numbers

__all__ = ["SECONDS", "Standing", "View", "Views"]

SECONDS = 60.0
"""The longest that a view may take to be found."""
MEMORY = 3 << 30
"""Bytes of address space that the child may have beside what it maps of a result."""
MOST_VIEWS = 1_000
"""So many views are known by their conditions; one whose rows were let go is found again when it is asked for."""
MOST_BYTES = 1 << 30
"""Row numbers of all views together."""
CHILDREN = 2
ABANDONED_SECONDS = 30.0
"""A view that nobody has asked about for so long is not looked for any more."""


@dataclass(frozen=True)
class Standing:
    """How far a view is: `rows` of it can be read now, `seen` of the result's rows were looked at, `total` of them fit,
    once that is known. `stopped`: somebody did; of a view without an order, what was found is good."""

    state: Literal["working", "done", "stopped", "failed"]
    rows: int
    seen: int
    total: int | None


class View:
    """The rows of a result that fit `conditions`, of the first `of` that there were. Thread-safe."""

    def __init__(self, result: str, conditions: Conditions, of: int) -> None:
        self.id, self.result, self.conditions, self.of = secrets.token_hex(8), result, conditions, of
        self.error: WorkbenchError | None = None
        self.held: Numbers | None = None
        self.touched = time.monotonic()
        self.askers = 1
        self._changed = threading.Condition()
        self._standing = Standing("working", 0, 0, None)
        self._stopped = False

    @property
    def rows(self) -> int:
        return self._standing.rows

    @property
    def seen(self) -> int:
        return self._standing.seen

    @property
    def state(self) -> str:
        """Looked at without being asked for."""
        return self._standing.state

    @property
    def standing(self) -> Standing:
        self.touched = time.monotonic()
        return self._standing

    def stop(self) -> None:
        """Ends the search for it, soon."""
        self._stopped = True

    @property
    def stopping(self) -> bool:
        return self._stopped or time.monotonic() - self.touched > ABANDONED_SECONDS

    def wait(self, timeout: float | None, enough: int | None = None, left: Callable[[], bool] = lambda: False) -> None:
        """Until it is over, or `enough` rows can be read. Raises its error."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while (standing := self.standing).state == "working":
                rest = 0.05 if until is None else min(0.05, until - time.monotonic())
                if rest <= 0 or left() or (enough is not None and standing.rows >= enough):
                    break
                self._changed.wait(rest)
        if self.error is not None:
            raise self.error

    def now(self, standing: Standing, error: WorkbenchError | None = None) -> None:
        with self._changed:
            self.error = error
            self._standing = standing
            self._changed.notify_all()

    def again(self) -> None:
        """It will be looked for anew."""
        self._stopped, self.held = False, None
        self.now(Standing("working", 0, 0, None))


class Views:
    """Of the results in `folder`. Thread-safe; every method may wait."""

    def __init__(self, folder: Path, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._folder, self._seconds, self._memory = folder, seconds, memory
        self._lock = threading.Lock()
        self._readers = Readers(folder, self._gone)
        self._views: OrderedDict[str, View] = OrderedDict()
        self._free = threading.BoundedSemaphore(CHILDREN)
        self._idle: list[Child] = []
        self._closed = False

    def reader(self, result_id: str) -> SharedReader:
        """Of that result, refreshed. Raises UnknownResult, DocumentError."""
        return self._readers.get(result_id)

    def warm(self) -> None:
        """Starts a child that the first view will not have to wait for."""
        with self._lock:
            if not self._idle and not self._closed and self._free.acquire(blocking=False):
                self._idle.append(Child())
                self._free.release()

    def begin(self, result_id: str, conditions: Conditions) -> View:
        """The view of the rows that are there now, which is being found."""
        seen = self.reader(result_id).rows
        with self._lock:
            for view in self._views.values():
                same = (view.result, view.conditions, view.of) == (result_id, conditions, seen)
                if same and not view.stopping and view.state in ("working", "done"):
                    view.askers += 1
                    return view
            view = View(result_id, conditions, seen)
            self._views[view.id] = view
            while len(self._views) > MOST_VIEWS:
                self._views.popitem(last=False)[1].stop()
        self._start(view)
        return view

    def leave(self, view: View) -> None:
        """Whoever asked for it has gone before it was answered; without anybody else it is looked for no more."""
        with self._lock:
            view.askers -= 1
            if view.askers == 0:
                view.stop()

    def find(self, result_id: str, conditions: Conditions, left: Callable[[], bool] = lambda: False) -> View:
        """The same, found. Raises LimitExceeded after `seconds`, Cancelled when `left`."""
        view = self.begin(result_id, conditions)
        self._wait(view, left)
        return view

    def get(self, result_id: str, view_id: str) -> View:
        """A view that was begun before. Raises UnknownView."""
        with self._lock:
            view = self._views.get(view_id)
            if view is None or view.result != result_id:
                raise UnknownView(view_id)
            self._views.move_to_end(view_id)
            return view

    def numbers(self, view: View, left: Callable[[], bool] = lambda: False, whole: bool = False) -> pa.UInt32Array:
        """The numbers of the view's rows in the result, in its order: those that are known, or with `whole` all of
        them. Raises Cancelled when `left` meanwhile, or when it was stopped and the whole is asked for."""
        view.touched = time.monotonic()
        while True:
            held = view.held
            if view.standing.state == "done" and held is None:  # they were let go
                with self._lock:
                    again = view.state == "done" and view.held is None
                    if again:
                        view.again()
                if again:
                    self._start(view)
                whole = True
            if whole:
                self._wait(view, left)
                held = view.held
                if held is None:  # let go again meanwhile
                    continue
            return pa.nulls(0, pa.uint32()) if held is None else held.read()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            views = list(self._views.values())
            self._readers.clear()
        for view in views:
            view.stop()
        for _ in range(CHILDREN):  # until those that work have ended
            self._free.acquire(timeout=2 * GRACE)
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    # --- inside

    def _wait(self, view: View, left: Callable[[], bool]) -> None:
        view.wait(None, left=left)
        if view.standing.state == "working":
            view.stop()
        if view.standing.state != "done":
            raise Cancelled("The view")

    def _start(self, view: View) -> None:
        threading.Thread(target=self._make, args=(view,), name="workbench-view", daemon=True).start()

    def _make(self, view: View) -> None:
        try:
            self._found(view)
        except _Stopped:
            view.now(dataclasses.replace(view._standing, state="stopped"))
        except WorkbenchError as error:
            view.now(dataclasses.replace(view._standing, state="failed"), error)
        except BaseException as error:  # noqa: BLE001  # whoever waits is told
            why = DocumentError(f"results/{view.result}", f"cannot be sorted or filtered: {error!r}.")
            view.now(dataclasses.replace(view._standing, state="failed"), why)

    def _found(self, view: View) -> None:
        asked = {
            "folder": os.path.abspath(self._folder),
            "result": view.result,
            "seen": view.of,
            "seconds": self._seconds,
            "memory": self._memory,
            **dataclasses.asdict(view.conditions),
        }
        until = time.monotonic() + self._seconds
        try:
            error = self._told(view, asked, until)
        except _Ended:
            # Somebody ended it, or the system did: another one may do better.
            view.held = None
            view.now(Standing("working", 0, 0, None))
            try:
                error = self._told(view, asked, until)
            except _Ended as ended:
                why = f"cannot be sorted or filtered: the process that does it has ended twice, {ended}. If the "
                why += "machine is short of memory, filter first, or ask by SQL."
                raise DocumentError(f"results/{view.result}", why) from None
        if error:
            raise self._error(view, error)
        assert view.held is not None
        self._keep(view)
        view.now(Standing("done", view.held.count, view.of, view.held.count))

    def _told(self, view: View, asked: dict[str, Any], until: float) -> dict[str, Any]:
        """What went wrong, if something did. Raises _Ended where the process did not come to its answer."""
        with self._child(until, view) as child:
            try:
                child.ask(asked)
                error = self._heard(child, view, until)
            except (Broken, KeyError, TypeError):
                if child.crashed:  # as programs do that get no memory
                    why = f"Its process has ended {child.fate}. Filter first, or ask by SQL."
                    raise LimitExceeded("memory of a view", _sized(self._memory), why) from None
                raise _Ended(child.fate) from None
            if error.get("error") == "memory" or error.get("broken"):
                child.end()  # who knows what else could not be made in it
        return error

    def _heard(self, child: Child, view: View, until: float) -> dict[str, Any]:
        """Takes what is told until it is over; what went wrong, if something did."""
        numbers = Numbers(self._folder)
        total: int | None = None
        while True:
            answer = child.answer(until, lambda: view.stopping)
            if answer is None and view.stopping:
                raise _Stopped
            rows = int(answer["rows"]) if answer is not None else 0
            if answer is not None and "error" in answer:
                return answer
            if answer is not None and answer.get("again"):
                numbers = Numbers(self._folder)
            if not 0 <= numbers.count + rows <= view.of:
                raise Broken
            if answer is None or not child.numbers(rows, numbers.write, until):
                hint = "It was ended. Filter by other columns first, or ask by SQL."
                raise LimitExceeded("seconds of a view", f"{self._seconds:g}", hint)
            numbers.told(rows)
            total = answer.get("total", total)
            if answer.get("over"):
                view.held = numbers
                return {}
            view.held = numbers
            view.now(Standing("working", numbers.count, int(answer.get("seen", view.of)), total))

    def _keep(self, kept: View) -> None:
        """Lets the oldest go. One that was ended midway cannot be found again, so it is not known any more."""
        with self._lock:
            held = [(view, view.held) for view in self._views.values() if view.held is not None]
            total = sum(numbers.size for _, numbers in held)
            for view, numbers in held:
                if total <= MOST_BYTES:
                    break
                state = view.state
                if view is kept or state == "working":
                    continue
                total -= numbers.size
                view.held = None
                if state != "done":
                    del self._views[view.id]

    def _gone(self, result_id: str) -> None:
        """The result was removed, and with it what was found of it."""
        with self._lock:
            for view in [one for one in self._views.values() if one.result == result_id]:
                view.stop()
                del self._views[view.id]

    def _error(self, view: View, answer: dict[str, Any]) -> Exception:
        why = str(answer.get("why", ""))
        match answer["error"]:
            case "stopped":
                return _Stopped()
            case "UnknownResult":
                return UnknownResult(view.result)
            case "DocumentError":
                return DocumentError(str(answer.get("name", "")), why)
            case "memory":
                hint = "Filter first, or sort by fewer columns; or ask by SQL."
                return LimitExceeded("memory of a view", _sized(self._memory), hint)
            case "value":
                return InvalidParameter("value", f"does not fit its column: {why}")
            case _:
                return DocumentError(f"results/{view.result}", f"cannot be sorted or filtered: {why}.")

    @contextlib.contextmanager
    def _child(self, until: float, view: View | None = None) -> Iterator[Child]:
        while not self._free.acquire(timeout=0.05):
            if view is not None and view.stopping:
                raise _Stopped
            if time.monotonic() > until:
                raise LimitExceeded("seconds of a view", f"{self._seconds:g}", "Other views are being made. Try again.")
        try:
            child = self._taken(view.result if view is not None else "")
            try:
                yield child
            except BaseException:
                child.end()
                self._renew()
                raise
            with self._lock:
                if not self._closed:
                    self._idle.append(child)
                    return
            child.end()
        finally:
            self._free.release()

    def _taken(self, result_id: str) -> Child:
        """One that has the result open, if there is one."""
        with self._lock:
            fits = [one for one in self._idle if one.result == result_id] or self._idle[-1:]
            child = fits[0] if fits else None
            if child is not None:
                self._idle.remove(child)
        if child is not None and not child.alive:
            child.end()
            child = None
        return child or Child()

    def _renew(self) -> None:
        """In the place of one that was ended, so that the next view finds one that is ready."""
        with self._lock:
            if not self._idle and not self._closed:
                self._idle.append(Child())


class _Stopped(Exception):
    """Nobody wants it any more."""


class _Ended(Exception):
    """The process ended, or said what it should not."""


def _sized(memory: int) -> str:
    return f"{memory >> 20:,} MiB"
