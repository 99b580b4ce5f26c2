"""The workers of a run: their processes, and the socket over which they send each other what the run's own process
passes on without reading it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import zmq

from workbench.streams.far import Far
from workbench.streams.outline import Outline
from workbench.streams.printing import Log
from workbench.streams.processes_slot import CREDIT, Slot
from workbench.streams.processes_tracking import SHIFT
from workbench.streams.processes_wire import MOST, json_bytes
from workbench.streams.processes_words import KINDS
from workbench.streams.tapping import Taps

__all__ = ["QUEUED", "Crew"]

QUEUED, QUEUED_BYTES = 10_000, 64 << 20
"""Rows, and their bytes, that may wait for one worker. Once there are more, no spout is called until half are left."""


class Crew:
    """What a run does with its workers. All of it is of one thread. A sub-class says what is done when one is ready,
    has said how it stands, or has ended."""

    log: Log

    def __init__(self, start: Mapping[str, Any], folder: Path, clock: Callable[[], float]) -> None:
        self._start, self._folder, self.clock = start, folder, clock
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.set_hwm(0)
        self._router.setsockopt(zmq.MAXMSGSIZE, MOST)
        self._router.setsockopt(zmq.LINGER, 0)
        self._address = f"ipc://{folder}/run"
        self._router.bind(self._address)
        self._outline = Outline.of_document(start["outline"])
        self._taps = Taps.of_outline(self._outline, Far)
        self._looked: list[str] = []
        tasks = {int(task): worker for task, worker in start["tasks"].items()}
        self._slots = [Slot(number, tasks) for number in range(start["workers"])]
        self._by_token: dict[bytes, Slot] = {}
        self._by_incarnation: dict[int, Slot] = {}
        self._incarnation = 0
        self._selector = selectors.DefaultSelector()
        self._full = False
        self._memory_at = 0.0
        self._answers: dict[int, bool] = {}
        self._ending = False
        """Whether workers that end are not started anew."""

    def _ready(self, slot: Slot) -> None:
        raise NotImplementedError

    def _status(self, slot: Slot, status: dict[str, Any]) -> None:
        raise NotImplementedError

    def _dead(self, slot: Slot) -> None:
        raise NotImplementedError

    def _more(self, slot: Slot) -> dict[str, Any]:
        """What else is said to it when it begins."""
        return {}

    def _kept(self, slot: Slot, more: bytes, data: bytes) -> None:
        raise NotImplementedError

    def _claims(self, slot: Slot, body: Mapping[str, Any]) -> None:
        raise NotImplementedError

    # --- what they send

    def _routed(self) -> bool:
        """Passes on what is there. The socket's own descriptor tells only of changes, so all of it is taken."""
        for number in range(500):
            try:
                token, *parts = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return bool(number)
            slot = self._by_token.get(token.bytes)
            if slot is not None:
                self._from_worker(slot, parts[0].bytes, parts[1:])
        return True

    def _from_worker(self, slot: Slot, kind: bytes, parts: list[Any]) -> None:
        slot.heard = self.clock()
        if kind == b"D":
            slot.got += 1
            other = self._slots[int(parts[0].bytes)]
            other.put(int(parts[1].bytes), parts[2])
            self._forward(other)
        elif kind in KINDS:
            slot.got += 1
            owner = self._by_incarnation.get(int(parts[0].bytes))
            if owner is not None:
                self._work(owner, kind, parts[1].bytes)
        elif kind == b"R":
            slot.open -= 1
            self._forward(slot)
        elif kind == b"S":
            self._status(slot, json.loads(parts[0].bytes))
        elif kind == b"W":
            self._answers[slot.number] = json.loads(parts[0].bytes)[1]
        elif kind == b"K":
            self._kept(slot, parts[0].bytes, parts[1].bytes)
        elif kind == b"G":
            self._claims(slot, json.loads(parts[0].bytes))
        elif kind == b"V":
            name, rows, skipped, values = (part.bytes for part in parts)
            self._router.send_multipart((slot.token, b"V"))
            self._seen(name.decode(), int(rows), int(skipped), values)
        elif kind == b"ready":
            self._ready(slot)
        elif kind == b"failed":
            slot.failed = json.loads(parts[0].bytes)
        elif kind == b"closed":
            slot.closed = True

    def _seen(self, name: str, rows: int, skipped: int, values: bytes) -> None:
        """Rows of a stream that is kept for views."""
        if isinstance(tap := self._taps.all.get(name), Far):
            tap.put(rows, skipped, values)

    def _look(self) -> None:
        """Workers are told which of these streams somebody looks at."""
        looked = [name for name, tap in self._taps.all.items() if tap.looked]
        if looked != self._looked:
            self._looked = looked
            self._broadcast({"look": looked})

    def _work(self, slot: Slot, kind: bytes, data: bytes) -> None:
        slot.forwarded += 1
        self._router.send_multipart((slot.token, kind, data))

    def _forward(self, slot: Slot) -> None:
        while slot.ready and slot.queue and slot.open < CREDIT:
            payload = slot.take()
            slot.open += 1
            slot.forwarded += 1
            self._router.send_multipart((slot.token, b"D", payload), copy=False)
        most = max(max(one.queued / QUEUED, one.size / QUEUED_BYTES) for one in self._slots)
        if self._full != (most > (0.5 if self._full else 1.0)):
            self._full = not self._full
            self._broadcast({"full": self._full})

    def _broadcast(self, what: Mapping[str, Any]) -> None:
        for slot in self._slots:
            if slot.ready:
                self._router.send_multipart((slot.token, b"C", json_bytes(what)))

    def _word(self, slots: Iterable[Slot], what: Mapping[str, Any]) -> None:
        for slot in slots:
            self._router.send_multipart((slot.token, b"C", json_bytes(what)))

    # --- their processes

    def _spawn(self, slot: Slot) -> None:
        self._incarnation += 1
        slot.begin(self._incarnation, secrets.token_bytes(16), self.clock())
        self._by_token[slot.token] = slot
        self._by_incarnation[slot.incarnation] = slot
        mark = self._folder / f"mark-{slot.incarnation}"
        mark.write_bytes(bytes(16))
        slot.mark = mark
        notes, notes_in = os.pipe()
        printed, printed_in = os.pipe()
        slot.process = subprocess.Popen(
            [sys.executable, "-c", _BOOT],
            stdin=subprocess.PIPE, stdout=printed_in, stderr=printed_in, pass_fds=(notes_in,),
        )  # fmt: skip
        os.close(notes_in)
        os.close(printed_in)
        for descriptor, what in ((notes, "notes"), (printed, "printed")):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, (slot, slot.incarnation, what, descriptor))
        said = {
            **{name: self._start[name] for name in ("path", "sources", "topology", "tasks")},
            "address": self._address,
            "token": slot.token.hex(),
            "mark": str(mark),
            "parent": os.getpid(),
            "notes": notes_in,
            "worker": slot.number,
            "incarnation": slot.incarnation,
            "positions": slot.positions,
            **self._more(slot),
        }
        assert slot.process.stdin is not None
        with contextlib.suppress(BrokenPipeError), slot.process.stdin as pipe:
            pipe.write(json_bytes(said) + b"\n")

    def _printed(self, slot: Slot, incarnation: int, what: str, descriptor: int) -> None:
        """What a worker's process itself printed (C code, the interpreter when it crashes), or where it is."""
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(descriptor)
            os.close(descriptor)
        elif what == "printed":
            slot.printed.write(data.decode(errors="replace"))
            lines, slot.told = slot.printed.since(slot.told)
            for line in lines:
                self.log.add(line)
        elif incarnation == slot.incarnation:
            with contextlib.suppress(ValueError, KeyError, IndexError):
                slot.where = str(json.loads(data.splitlines()[-1])["where"])

    def _strike(self, slot: Slot, text: str) -> bool:
        """The row that it was at fails, so that it is given up if it ends a worker again and again."""
        root, task = slot.marked()
        owner = self._by_incarnation.get(root >> SHIFT) if root else None
        if owner is None or not owner.ready:
            return False
        component = self._start["components"].get(str(task), "")
        self._work(owner, b"F", json_bytes([[root, component, f"worker {slot.number} {text}"]]))
        return True

    def _look_after(self) -> None:
        now = self.clock()
        for slot in self._slots:
            if slot.process is None:
                if now >= slot.due and not self._ending:
                    self._spawn(slot)
                continue
            if slot.process.poll() is not None:
                self._dead(slot)
                continue
            if slot.going and now - slot.heard > self._start["hang"]:
                slot.kill(f"did not return for {self._start['hang']:g} s ({slot.where or 'nobody knows where'})")
        if now - self._memory_at >= 0.5:
            self._memory_at = now
            for slot in self._slots:
                most, used = self._start["memory"], slot.memory()
                if used > most and not slot.killed:
                    slot.kill(f"had {used >> 20:,} MiB of memory, and {most >> 20:,} are the most (memory=)")


_BOOT = """
import json, sys
start = json.loads(sys.stdin.buffer.readline())
sys.path[:] = start["path"]
from workbench.streams.processes_worker import main
main(start)
"""
