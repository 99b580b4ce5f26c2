"""Where spools are: a folder for each spout of each topology, in it one for each run at a time.

Without state they are in the user's folder, `spools/<topology>/<spout>/<number>`; of a run with state beside its file,
for positions in it are positions in them. Who has one open holds a lock, which ends with the process. A run without
state takes over what others have left there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.contract.errors import PathUnreachable, StateRefused
from workbench.streams.spool import Damaged, Spool
from workbench.streams.spool_segment import synced

if TYPE_CHECKING:
    from workbench.streams.topology import Topology

__all__ = ["begin_anew", "claimed", "damaged", "folder_of", "left_out", "released"]

LOCK = "lock"


def folder_of(topology: str, component: str, state: str) -> Path:
    """`state` is the file of a run with state, or nothing."""
    from workbench.catalog import places

    return (Path(f"{state}.spool") if state else places.home() / "spools" / topology) / component


def claimed(
    topology: str, folder: Path, source: bytes, most: int, *, alone: bool, durable: bool, log: Callable[[str], None]
) -> tuple[Spool, int]:
    """A spool that is now held alone, with what others have left, and its lock. `alone`: there is one only. Raises
    StateRefused, PathUnreachable."""
    held: list[tuple[Path, int]] = []
    spool: Spool | None = None
    try:
        for slot in _slots(folder):
            if (lock := _locked(slot)) is None:
                if alone:
                    raise StateRefused(topology, str(slot), "another run has this spool open. Stop that one.")
                continue
            if Spool.source_of(slot) in (None, source):
                held.append((slot, lock))
                continue
            os.close(lock)
            why = "what lies there came from another address, or by another parse=."
            if alone:
                raise StateRefused(topology, str(slot), f'{why} Leave it out: forget=("{folder.name}",).')
            log(f"What lies in {slot} is left alone: {why}")
        if not held:
            held.append(_made(folder, 1 if alone else 2))
        spool = Spool(held[0][0], source, most, durable)
        while held[1:]:
            _adopted(spool, Spool(held[1][0], source, most, durable))
            released(*held.pop(1), remove=True)
        return spool, held[0][1]
    except BaseException as error:
        if spool is not None:
            spool.close()
        for _, lock in held:
            os.close(lock)
        if isinstance(error, Damaged):
            raise damaged(topology, error) from None
        if isinstance(error, OSError):
            why = f"{error.strerror or error}. Without one (spool=0) no folder is needed"
            raise PathUnreachable(str(error.filename or folder), why, act="keep a spool in") from None
        raise


def damaged(topology: str, why: Damaged) -> StateRefused:
    what = f"{why} Put a copy of the folder in its place, or begin without what it has (recover=False)."
    return StateRefused(topology, str(why.path.parent), what)


def released(slot: Path, lock: int, remove: bool) -> None:
    """`remove`: the folder, too, and those above it that are empty then."""
    if remove:
        shutil.rmtree(slot, ignore_errors=True)
    os.close(lock)
    with contextlib.suppress(OSError):
        for folder in (slot.parent, slot.parent.parent) if remove else ():
            folder.rmdir()


def left_out(topology: Topology, recover: bool, forget: Iterable[str]) -> list[str]:
    """The components whose spools a run is to begin without. Raises InvalidParameter."""
    if forget:
        from workbench.streams.snapshots import forgotten

        forget = forgotten(forget)
    return list(forget) if recover else [node.id for node in topology.nodes.values() if node.kind == "spout"]


def begin_anew(topology: str, components: Iterable[str], state: str) -> None:
    """Removes the spools of these spouts that nobody has open. Raises PathUnreachable."""
    for component in components:
        folder = folder_of(topology, component, state)
        try:
            for slot in _slots(folder):
                if (lock := _locked(slot)) is not None:
                    released(slot, lock, remove=True)
        except OSError as error:
            raise PathUnreachable(str(folder), error.strerror or str(error), act="remove a spool in") from None


def _slots(folder: Path) -> Iterator[Path]:
    try:
        names = sorted((path.name for path in folder.iterdir() if path.name.isdecimal()), key=int)
    except FileNotFoundError:
        return
    for name in names:
        yield folder / name


def _made(folder: Path, above: int) -> tuple[Path, int]:
    """So many folders above it are spools' own; what is higher is another's, and stays as it is."""
    from workbench.documents.private import private_folder

    for number in range(1_000):  # others begin and end at the same time
        try:
            levels = [*reversed(folder.parents[:above]), folder]
            for level in levels:
                private_folder(level)
            with contextlib.suppress(FileExistsError):
                (slot := folder / str(number)).mkdir(mode=0o700)
                if (lock := _locked(slot)) is not None:
                    for level in (levels[0].parent, *levels):  # so that their names outlive a power cut
                        synced(level)
                    return slot, lock
        except FileNotFoundError:
            continue
    raise OSError(None, "there are a thousand of them", str(folder))


def _locked(slot: Path) -> int | None:
    """None: another one has it, or it has gone."""
    try:
        lock = os.open(slot / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_nlink:
            return lock
    except BlockingIOError:
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _adopted(spool: Spool, other: Spool) -> None:
    """What another run has left."""
    try:
        while records := other.read():
            number = spool.write([(body, rows) for _, rows, _, body in records], other.note)
            for _, rows, places, _ in records:
                for place in set(range(rows)).difference(places):
                    spool.done(number + place, number + place + 1)
                number += rows
        spool.sync()  # before the other one is removed
    finally:
        other.close()
