"""The watchdog's child: a program of its own, run by its path in an isolated interpreter without site-packages.

While the parent lives it keeps raw bytes and imports nothing; all else is imported after the parent's death.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # as typing has it, without its cost
if TYPE_CHECKING:
    from typing import Any

    from workbench.contract import Connector
    from workbench.runs import Register

PATIENCE_SECONDS = 10.0
RETRY_SECONDS = 0.25
SETTLE_SECONDS = 0.5
WORKERS = 8


class Inbox:
    """What came over stdin, as bytes. The parent's last frame may be cut: then it is not counted."""

    def __init__(self) -> None:
        self._received = bytearray()
        self.open = True
        os.set_blocking(0, False)

    def fill(self) -> None:
        """Takes in all that is there now."""
        while self.open:
            try:
                piece = os.read(0, 1 << 16)
            except BlockingIOError:
                return
            self.open = bool(piece)
            self._received += piece

    def frames(self) -> list[bytes]:
        found, at = [], 0
        while len(self._received) - at >= 4:
            size = int.from_bytes(self._received[at : at + 4], "big")
            if len(self._received) - at - 4 < size:
                break
            found.append(bytes(self._received[at + 4 : at + 4 + size]))
            at += 4 + size
        return found


def await_death(parent: int, inbox: Inbox) -> None:
    """Returns when the parent is gone. Its end of the pipe says nothing: forked children keep it open.

    A process whose parent has died has another parent, so `getppid` never lies; a pidfd wakes us without polling.
    """
    watched = -1
    if hasattr(os, "pidfd_open"):
        try:
            watched = os.pidfd_open(parent)
        except OSError:  # gone already, or a kernel or sandbox without it
            watched = -1
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if watched >= 0:
        poll.register(watched, select.POLLIN)
    while os.getppid() == parent:
        poll.poll(None if watched >= 0 else 500)
        inbox.fill()
        if not inbox.open:
            poll = select.poll()
            if watched >= 0:
                poll.register(watched, select.POLLIN)
            else:
                time.sleep(0.2)
    inbox.fill()


def bury(frames: list[bytes]) -> None:
    """Ends what the dead process left at its sources."""
    import json

    header = json.loads(frames[0])
    _find_packages(header["path"])

    from pathlib import Path

    from workbench.runs import Process, Register

    dead = Process(header["pid"], header["started"], header["host"])
    told: dict[str, dict[str, Any]] = {}
    for frame in frames[1:]:
        message = json.loads(frame)
        told.setdefault(message["register"], {})[message["connection"]] = message
    for path, connections in told.items():
        register = Register(Path(path))
        try:
            _bury_in(register, dead, connections)
        finally:
            register.close()


def _find_packages(path: list[str]) -> None:
    """Everything that the parent could import, also what its site-packages bring in by import hooks."""
    import site

    site.main()
    sys.path[:] = path + [entry for entry in sys.path if entry not in path]


def _bury_in(register: Register, dead: Any, told: dict[str, Any]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    left = register.left_by(dead)
    work = [(run.id, native) for run in left for native in run.natives]
    connectors: dict[str, Connector] = {}
    failures: dict[str, list[str]] = {}
    if work:
        import threading

        deadline, lock = time.monotonic() + PATIENCE_SECONDS, threading.Lock()

        def connector(name: str) -> Connector:
            with lock:
                if name not in connectors:
                    connectors[name] = _open(told[name])
                return connectors[name]

        def end(item: tuple[str, Any]) -> None:
            run_id, native = item
            if native.connection not in told:
                why: str | None = "its log-in was not handed to the watchdog"
            else:
                why = _cancel(lambda: connector(native.connection).cancel(native.native_id), deadline)
            if why is None:
                register.native_ended(run_id, native.connection, native.native_id)
            else:
                failures.setdefault(run_id, []).append(f"{native.connection} {native.native_id}: {why}")

        with ThreadPoolExecutor(min(WORKERS, len(work))) as pool:
            list(pool.map(end, work))
    for run in left:
        if run.ended is None or run.state == "lost":
            register.mark_lost(run.id, _epitaph(failures.get(run.id, [])))
    for opened in connectors.values():
        opened.close()


def _cancel(cancel: Any, deadline: float) -> str | None:
    """None when it was done, else the last reason why not. Done twice, because a query that was sent just before the
    death may begin after the first."""
    done = 0
    while True:
        try:
            cancel()
            done += 1
            if done == 2:
                return None
            time.sleep(SETTLE_SECONDS)
        except Exception as error:  # noqa: BLE001  # a connector's driver may raise anything; it goes into the register
            if time.monotonic() > deadline:
                return f"{type(error).__name__}: {error}"
            time.sleep(RETRY_SECONDS)


def _epitaph(failures: list[str]) -> str:
    died = "Its process ended without finishing it."
    return died if not failures else f"{died} This may still run at the source: {'; '.join(failures)}"


def _open(message: dict[str, Any]) -> Connector:
    import importlib

    from workbench.contract import ConnectionConfig, Secret

    module, _, name = message["implementation"].partition(":")
    config = ConnectionConfig(
        name=message["connection"],
        parameters=message["parameters"],
        secrets={key: Secret(text) for key, text in message["secrets"].items()},
        tables=message["tables"],
    )
    connector: Connector = getattr(importlib.import_module(module), name)(config)
    return connector


def main() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the secrets
    for stopping in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stopping, signal.SIG_IGN)  # those that stop the parent must not stop us first
    inbox = Inbox()
    await_death(int(sys.argv[1]), inbox)
    frames = inbox.frames()
    if frames:
        bury(frames)


if __name__ == "__main__":
    main()
