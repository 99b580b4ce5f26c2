"""The file of a topology's snapshots: one at a time, written whole or not at all, with SQLite.

It holds parts (the position of a spout's task, the windows of a bolt's task, the rows that a sink's task is to write)
and the keys of stateful bolts, of which only those are written that have changed. Whoever has it open holds it alone;
a process that is killed lets go of it. Nothing but values is read from it.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import InvalidParameter, StateRefused
from workbench.streams.encoding import from_text
from workbench.streams.state import Change
from workbench.streams.tuples import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workbench.streams.topology import Topology

__all__ = ["Collected", "Part", "Saved", "SnapshotFile", "differences", "file_of", "forgotten", "shape_of"]

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")
Part = tuple[str, int, str]
"""A component, the place of the task among its tasks, and `spout`, `window` or `sink`."""
Task = tuple[str, int]
_TABLES = """
create table if not exists meta (name text primary key, value text not null);
create table if not exists parts (component text, task integer, kind text, value not null,
    primary key (component, task, kind)) without rowid;
create table if not exists state (component text, task integer, canon text, key text not null, value text not null,
    primary key (component, task, canon)) without rowid;
"""


@dataclass
class Collected:
    """What one moment is made of: all parts, and of the states what has changed."""

    parts: dict[Part, str | bytes] = field(default_factory=dict)
    changes: dict[Task, list[Change]] = field(default_factory=dict)

    def add(self, other: Collected) -> None:
        """Of other tasks, from another process."""
        self.parts |= other.parts
        self.changes |= other.changes


@dataclass
class Saved:
    """A snapshot that was read: its number, of which line of snapshots (`id`), when it was made, and what is in it.
    `epoch` 0 is the beginning."""

    id: str
    epoch: int = 0
    at: float = 0.0
    parts: dict[Part, str | bytes] = field(default_factory=dict)
    states: dict[Task, dict[Any, Any]] = field(default_factory=dict)


def file_of(topology: Topology, state: bool | str | os.PathLike[str] | None) -> Path:
    """`True`: of the topology's name, in the user's folder; a name: that one there; a path: that file."""
    from workbench.catalog import places
    from workbench.documents.private import private_folder

    text = os.fspath(state) if isinstance(state, str | os.PathLike) else ""
    if text and "\0" not in text and (isinstance(state, os.PathLike) or os.sep in text or text.endswith(".sqlite")):
        return Path(text).expanduser().absolute()
    name = topology.name if state is True else text
    if not _NAME.fullmatch(name):
        raise InvalidParameter(
            "state",
            f"is {shown(state, 100)}; it is True, a path, or a name of a letter or digit and then up to 63 letters, "
            "digits, `.`, `_`, `-` and spaces.",
        )
    return private_folder(places.home() / "states") / f"{name}.sqlite"


def forgotten(forget: Iterable[str]) -> tuple[str, ...]:
    """The components that `forget` names. Raises InvalidParameter."""
    found = (forget,) if isinstance(forget, str) or not isinstance(forget, Iterable) else tuple(forget)
    if isinstance(forget, str) or not all(isinstance(name, str) for name in found):
        raise InvalidParameter("forget", f'is {shown(forget, 100)}; it is a list of components: forget=("count",).')
    return found


class SnapshotFile:
    """Use it in one thread at a time. Raises StateRefused."""

    def __init__(
        self,
        topology: Topology | str,
        path: Path,
        wall: Callable[[], float] = time.time,
        shape: dict[str, Any] | None = None,
    ) -> None:
        """`topology`, or its name and its `shape`, where its components are not to be imported."""
        self.topology, self.path, self._wall = topology if isinstance(topology, str) else topology.name, path, wall
        self._shape = shape_of(topology) if not isinstance(topology, str) else shape or {}
        self._base: sqlite3.Connection | None = None
        self._inode = (0, 0)
        self.id = ""

    def open(self, recover: bool = True, forget: Iterable[str] = ()) -> Saved:
        """The last snapshot; without `recover` all is begun anew. `forget` are components whose state is left out."""
        with self._told():
            base = self._base = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            if not self.path.stat().st_size:
                os.chmod(self.path, 0o600)
            base.execute("pragma locking_mode = exclusive")
            base.execute("pragma synchronous = full")
            base.execute("begin exclusive")
            ((found,),) = base.execute("pragma quick_check(1)").fetchall()
            if found != "ok":
                raise sqlite3.DatabaseError(str(found))
            tables = {name for (name,) in base.execute("select name from sqlite_master where type = 'table'")}
            if tables and tables != {"meta", "parts", "state"}:
                raise self._refused("it is another program's, with tables of its own. Name another file: run(state=…).")
            for statement in _TABLES.split(";"):
                base.execute(statement)
            saved = self._read(base, recover, tuple(forget))
            base.execute("commit")
            found = self.path.stat()
            self._inode = found.st_dev, found.st_ino
        self.id = saved.id
        return saved

    def save(self, epoch: int, collected: Collected) -> None:
        """All of it, or nothing."""
        with self._told():
            base = self._base
            assert base is not None
            self._is_there()
            base.execute("begin immediate")
            try:
                base.execute("delete from parts")
                base.executemany(
                    "insert into parts values (?, ?, ?, ?)", [(*part, value) for part, value in collected.parts.items()]
                )
                for task, changes in collected.changes.items():
                    gone = [(*task, canon) for canon, _, value in changes if value is None]
                    kept = [(*task, *change) for change in changes if change[2] is not None]
                    base.executemany("delete from state where component = ? and task = ? and canon = ?", gone)
                    base.executemany("insert or replace into state values (?, ?, ?, ?, ?)", kept)
                self._write(base, epoch)
                base.execute("commit")
            except BaseException:
                if base.in_transaction:  # a full disk has ended it already
                    base.execute("rollback")
                raise

    def stored(self) -> dict[str, Any]:
        """What it has now, as it is kept: `id`, `epoch`, `parts` and `states`, whose keys and values are texts."""
        with self._told():
            base = self._base
            assert base is not None
            meta = dict(base.execute("select name, value from meta").fetchall())
            return {
                "id": meta["id"],
                "epoch": int(meta["epoch"]),
                "parts": base.execute("select component, task, kind, value from parts").fetchall(),
                "states": base.execute("select component, task, key, value from state").fetchall(),
            }

    def close(self) -> None:
        if self._base is not None:
            self._base.close()
            self._base = None

    # --- inside

    def _is_there(self) -> None:
        """SQLite would write on into a file that has no name any more, and the next run would find nothing."""
        try:
            found = self.path.stat()
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._inode:
            raise self._refused("it was removed or replaced while this run had it open. Run it again, to begin anew.")

    def _read(self, base: sqlite3.Connection, recover: bool, forget: tuple[str, ...]) -> Saved:
        meta = dict(base.execute("select name, value from meta").fetchall())
        if meta and meta.get("format") != str(FORMAT):
            raise self._refused(f"it has the form {meta.get('format')!r}, and this version reads {FORMAT}.")
        if not meta or not recover:
            base.execute("delete from parts")
            base.execute("delete from state")
            saved = Saved(uuid.uuid4().hex)
            self.id = saved.id
            self._write(base, 0)
            return saved
        saved = Saved(meta["id"], int(meta["epoch"]), float(meta["at"]))
        self.id = saved.id
        for component, task, kind, value in base.execute("select * from parts"):
            saved.parts[component, task, kind] = value
        for component, task, _, key, value in base.execute("select * from state"):
            saved.states.setdefault((component, task), {})[from_text(key)] = from_text(value)
        held = {part[0] for part in saved.parts} | {task[0] for task in saved.states}
        if unknown := set(forget) - held - self._shape.keys():
            raise self._refused(f"nothing is kept of `{min(unknown)}`, which forget= names.")
        for component in forget:
            base.execute("delete from parts where component = ?", (component,))
            base.execute("delete from state where component = ?", (component,))
        saved.parts = {part: value for part, value in saved.parts.items() if part[0] not in forget}
        saved.states = {task: values for task, values in saved.states.items() if task[0] not in forget}
        found = differences(json.loads(meta["shape"]), self._shape, held - set(forget))
        if found:
            raise self._refused(
                f"the topology is another one now: {'; '.join(found)}. Run it as it was, leave out what was kept of a "
                'component (forget=("name",)), or begin anew (recover=False).'
            )
        return saved

    def _write(self, base: sqlite3.Connection, epoch: int) -> None:
        meta = {
            "format": str(FORMAT),
            "id": self.id,
            "topology": self.topology,
            "epoch": str(epoch),
            "at": repr(self._wall()),
            "shape": json.dumps(self._shape),
        }
        base.executemany("insert or replace into meta values (?, ?)", list(meta.items()))

    def _refused(self, why: str) -> StateRefused:
        return StateRefused(self.topology, str(self.path), why)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except StateRefused:
            self.close()
            raise
        except sqlite3.OperationalError as error:
            text = str(error)
            self.close()
            if "locked" in text:
                why = "another run has it open. Stop that one, or name another: run(state=…)."
            else:
                there = "" if self.path.parent.is_dir() else f" Its folder {self.path.parent} is not there."
                why = f"it cannot be opened or written: {text}.{there}"
            raise self._refused(why) from None
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            self.close()
            raise self._refused(
                f"it is damaged ({type(error).__name__}: {error}). Put an older copy in its place, or begin anew "
                "(recover=False, after the file was moved away)."
            ) from None


def shape_of(topology: Topology) -> dict[str, Any]:
    """What must be as it was, for what is kept of a component to be of use to it."""
    found: dict[str, Any] = {}
    for node in topology.nodes.values():
        code = getattr(node.component, "function", None) or type(node.component)
        body: dict[str, Any] = {
            "kind": node.kind,
            "code": f"{getattr(code, '__module__', '')}:{getattr(code, '__qualname__', type(code).__qualname__)}",
            "parallelism": node.parallelism,
        }
        if node.window is not None:
            body["window"] = str({**node.window.document(), "early": 0.0})  # that may be another one
            body["fields"] = {
                f"{one.component}.{one.stream}": list(topology.nodes[one.component].fields_of(one.stream))
                for one in node.inputs
            }
        found[node.id] = body
    return found


_SAID = {
    "kind": "`{name}` was a {before}, and is a {now}",
    "code": "`{name}` was `{before}`, and is `{now}`",
    "parallelism": "`{name}` had {before} tasks, and has {now}, so its keys are at others",
    "window": "the window of `{name}` was {before}, and is {now}",
    "fields": "`{name}` took {before}, and takes {now}",
}


def differences(before: Mapping[str, Any], now: Mapping[str, Any], held: Iterable[str]) -> list[str]:
    """What has changed of the components of which something is kept, in words."""
    found = []
    for name in sorted(held):
        if name not in now:
            found.append(f"`{name}`, of which something is kept, is there no more")
            continue
        was, is_ = before.get(name, {}), now[name]
        for what in sorted(was.keys() | is_.keys()):
            if was.get(what) != is_.get(what):
                found.append(_SAID[what].format(name=name, before=was.get(what), now=is_.get(what)))
                break
    return found
