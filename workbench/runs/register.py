"""The register of runs: one SQLite file per user, written by every process, so that any of them can show and stop
what another one runs, and so that a dead process's work can be found and ended.

The register says what *may* be running at a source: a native id is written before the query is sent and taken away
after the source works no more on it. Whoever finds one left over may cancel it, because `Connector.cancel` acts
only on work that still carries our mark.
"""

from __future__ import annotations

import base64
import getpass
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.contract.errors import InvalidParameter, UnknownRun
from workbench.runs.process import Process
from workbench.runs.redaction import Redaction
from workbench.runs.store import Store

__all__ = ["Engine", "NativeWork", "Register", "Run", "RunInfo"]

KEPT = 1_000
"""So many runs that are over are kept; older ones are dropped when a run begins, once a second at most, unless work
of theirs may still run at a source."""
PART = "part"
"""The kind of a run that is one of several of something else, which has its own line in the history."""
PARTS_SECONDS = 3_600.0
"""So long a part is kept after its end."""
PRUNE_SECONDS = 1.0
PROGRESS_SECONDS = 0.2
"""Progress is written at most this often."""
LONGEST = 10_000
"""Characters of a statement that are kept."""
FOREIGN_SECONDS = 7 * 86_400
"""A run on a host that we cannot look into is believed this long after its last sign of life."""

ACTIVE = ("running", "stopping")
FINISHED = ("done", "failed", "stopped")
_APART = "\x1f"
_GONE = "Its process ended without finishing it."

_RUNS = """
select id, kind, title, pid, process_started, host, user, state, started, ended, rows, bytes, fraction, error, updated,
    statement, connections
from runs
"""
_WHOLE = f"(kind <> '{PART}' or state = 'lost')"
_NATIVES = "select run, connection, native_id, since from natives"
_BEGIN = (
    "insert into runs (id, kind, title, pid, process_started, host, user, state, started, updated, statement,"
    " connections) values (?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?)"
)
_FINISH = "update runs set state = ?, error = ?, ended = ?, updated = ?"
_UNFINISHED = "where id = ? and state in ('running', 'stopping', 'lost')"
_PRUNE = f"""
delete from runs where (kind = '{PART}' and ended < ?2 or id in (
    select id from runs where ended is not null order by ended desc, started desc limit -1 offset ?1))
and id not in (select run from natives)
"""


@dataclass(frozen=True, slots=True)
class NativeWork:
    """Something that may be running at a source, since a time in seconds of the epoch."""

    connection: str
    native_id: str
    since: float


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as the register has it. `state` is `running`, `stopping` (asked to stop), `done`, `failed`, `stopped`,
    or `lost`: its process is gone without having finished it. Times are seconds of the epoch. `natives` may still
    be running at their sources, also when the run itself is over. `statement` is what a person wrote, its first 10,000
    characters, and `connections` are those that it names."""

    id: str
    kind: str
    title: str
    pid: int
    process_started: str
    user: str
    state: str
    started: float
    ended: float | None
    rows: int
    bytes: int
    fraction: float | None
    error: str
    natives: tuple[NativeWork, ...] = ()
    statement: str = ""
    connections: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """Whether it runs, or whether work that it has left may still run at a source."""
        return self.state in ACTIVE or (self.state == "lost" and bool(self.natives))


@dataclass(frozen=True, slots=True)
class Engine:
    """Where a process publishes what its runs do: a loopback address, and the token that it asks for."""

    pid: int
    address: str
    token: str = field(repr=False)


class Run:
    """A run that this process owns. Made by `Register.begin`; thread-safe."""

    def __init__(self, register: Register, run_id: str, redaction: Redaction) -> None:
        self.id = run_id
        self._redaction = redaction
        self._register = register
        self._lock = threading.Lock()
        self._latest: tuple[int, int, float | None] | None = None
        self._written = register.clock()
        self._stop = False

    def kept(self, text: str) -> str:
        """What may be kept and shown of its statement, or of an error that repeats some of it: no password."""
        return self._redaction.of(text)

    def mark(self, n: int) -> str:
        """The name of this run's piece of work number `n` at a source."""
        return f"wb-{self.id}-{n}"

    def native_started(self, connection: str, native_id: str) -> None:
        """Call before the query is sent. When this returns, any process can end the work."""
        self._register.native_started(self.id, connection, native_id)

    def native_ended(self, connection: str, native_id: str) -> None:
        """Call when the source works no more on it; right also after `finish`."""
        self._register.native_ended(self.id, connection, native_id)

    def progress(self, rows: int, bytes: int, fraction: float | None = None) -> None:  # noqa: A002
        """How far it is, in all. Cheap: kept in memory, written at most every 200 ms from 200 ms after its beginning,
        and never waited for."""
        now = self._register.clock()
        with self._lock:
            self._latest = rows, bytes, fraction
            if 0 <= now - self._written < PROGRESS_SECONDS:
                return
            if self._register.write_progress(self.id, rows, bytes, fraction):
                self._written, self._latest = now, None

    def stop_requested(self) -> bool:
        """Whether somebody has asked this run to stop. Reads the register; never forgets a yes."""
        self._stop = self._stop or self._register.stop_requested(self.id)
        return self._stop

    def finish(self, state: str, error: str = "") -> None:
        """Ends the run as `done`, `failed` or `stopped`. The first call counts."""
        if state not in FINISHED:
            raise InvalidParameter("state", f"is `{state}`; a run finishes as one of {', '.join(FINISHED)}.")
        with self._lock:
            latest, self._latest = self._latest, None
        self._register.write_finish(self.id, state, self.kept(error), latest)


class Register:
    """The runs of this user. Safe for many threads and processes at once, and in a forked child.

    `clock` gives seconds of the epoch. The file is made with mode 0600 when it is not there; one from a newer
    version raises DocumentError.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = Path(path)
        self.clock = clock
        self._store = Store(self.path)
        self._swept: Process | None = None
        self._pruned: float | None = None

    def begin(
        self,
        kind: str,
        title: str,
        statement: str = "",
        connections: Iterable[str] = (),
        started: float | None = None,
    ) -> Run:
        """A new run, owned by this process. Quoted texts in the statement are not kept where one of them may be a
        password."""
        redaction = Redaction(title, statement)
        title, statement = redaction.of(title), redaction.of(statement)
        process, now = Process.current(), self.clock()
        run_id = _new_id()
        values = (
            *(run_id, kind, _short(title), process.pid, process.started, process.host, _user(), started or now, now),
            *(_short(statement, LONGEST), _APART.join(connections)),
        )
        if self._swept == process and self._pruned is not None and 0 <= now - self._pruned < PRUNE_SECONDS:
            self._store.write(_BEGIN, values)
            return Run(self, run_id, redaction)
        with self._store.writing() as db:
            if self._swept != process:
                self._sweep(db.execute(f"{_RUNS} where ended is null").fetchall(), db.execute, now)
            db.execute(_BEGIN, values)
            db.execute(_PRUNE, (KEPT, now - PARTS_SECONDS))
        self._swept, self._pruned = process, now
        return Run(self, run_id, redaction)

    def note(
        self,
        kind: str,
        title: str,
        state: str,
        *,
        started: float,
        rows: int = 0,
        error: str = "",
        connections: Iterable[str] = (),
    ) -> None:
        """A line of the history for what several runs of the kind `part` were for, once it is over."""
        run = self.begin(kind, title, connections=connections, started=started)
        self.write_finish(run.id, state, run.kept(error), (rows, 0, None))

    def runs(self, active: bool = True, limit: int = 200) -> list[RunInfo]:
        """The newest first. `active`: only those for which `RunInfo.active` holds; else what has run, too, as in the
        history."""
        with self._store.reading() as db:
            if active:
                where = f"{_RUNS} where ended is null or id in (select run from natives) order by started desc"
                rows = db.execute(where).fetchall()
            else:
                where = f"{_RUNS} where ended is null or {_WHOLE} order by started desc limit ?"
                rows = db.execute(where, (limit,)).fetchall()
            natives = _natives(db.execute(f"{_NATIVES} order by since"))
        infos = (self._info(row, natives) for row in rows)
        return [info for info in infos if info.active or not active][:limit]

    def history(self, limit: int = 200, search: str = "") -> list[RunInfo]:
        """Runs that are over, the newest first; `search` is part of the statement or the title, in any case. A part of
        something else is in it only when its process has died: then nobody has told the whole."""
        pattern = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        with self._store.reading() as db:
            rows = db.execute(
                f"{_RUNS} where ended is not null and {_WHOLE}"
                " and (statement like ?1 escape '\\' or title like ?1 escape '\\')"
                " order by started desc limit ?2",
                (pattern, limit),
            ).fetchall()
        return [self._info(row, {}) for row in rows]

    def get(self, run_id: str) -> RunInfo:
        """Raises UnknownRun."""
        with self._store.reading() as db:
            row = db.execute(f"{_RUNS} where id = ?", (run_id,)).fetchone()
            natives = _natives(db.execute(f"{_NATIVES} where run = ? order by since", (run_id,)))
            if row is None:
                raise UnknownRun(run_id, (known for (known,) in db.execute("select id from runs").fetchall()))
        return self._info(row, natives)

    def natives(self, run_id: str) -> tuple[NativeWork, ...]:
        """What may still be running at sources for that run."""
        return self.get(run_id).natives

    def request_stop(self, run_id: str) -> None:
        """Asks the owner to stop it; nothing happens to a run that is over. Raises UnknownRun."""
        self.get(run_id)
        self._store.write(
            "update runs set state = 'stopping', updated = ? where id = ? and state = 'running'",
            (self.clock(), run_id),
        )

    def stop_requested(self, run_id: str) -> bool:
        with self._store.reading() as db:
            return (
                db.execute("select 1 from runs where id = ? and state = 'stopping'", (run_id,)).fetchone() is not None
            )

    def stopping(self) -> frozenset[str]:
        """The runs of this process that were asked to stop."""
        me = Process.current()
        with self._store.reading() as db:
            rows = db.execute(
                "select id from runs where ended is null and state = 'stopping' and pid = ? and process_started = ?",
                (me.pid, me.started),
            ).fetchall()
        return frozenset(run_id for (run_id,) in rows)

    def left_by(self, process: Process) -> list[RunInfo]:
        """What that process has not finished, and what may still run at sources for it."""
        with self._store.reading() as db:
            rows = db.execute(
                f"{_RUNS} where pid = ? and process_started = ? and host = ?"
                " and (ended is null or id in (select run from natives))",
                (process.pid, process.started, process.host),
            ).fetchall()
            natives = _natives(db.execute(f"{_NATIVES} order by since"))
        return [self._info(row, natives) for row in rows]

    def native_started(self, run_id: str, connection: str, native_id: str) -> None:
        self._store.write(
            "insert or replace into natives (run, connection, native_id, since) values (?, ?, ?, ?)",
            (run_id, connection, native_id, self.clock()),
        )

    def native_ended(self, run_id: str, connection: str, native_id: str) -> None:
        self._store.write(
            "delete from natives where run = ? and connection = ? and native_id = ?", (run_id, connection, native_id)
        )

    def engine_started(self, address: str, token: str) -> None:
        """This process publishes there from now on."""
        me = Process.current()
        with self._store.writing() as db:
            for pid, started, host in db.execute("select pid, process_started, host from engines").fetchall():
                if Process(pid, started, host).alive() is False:
                    db.execute(
                        "delete from engines where pid = ? and process_started = ? and host = ?", (pid, started, host)
                    )
            db.execute(
                "insert or replace into engines (pid, process_started, host, address, token) values (?, ?, ?, ?, ?)",
                (me.pid, me.started, me.host, address, token),
            )

    def adopt(self, run_id: str) -> None:
        """A run that is over is this process' from now on: it publishes what is known of it. Nothing happens to one
        that is not over."""
        me = Process.current()
        self._store.write(
            "update runs set pid = ?, process_started = ?, host = ? where id = ? and ended is not null",
            (me.pid, me.started, me.host, run_id),
        )

    def engine(self, run_id: str) -> Engine | None:
        """Where that run's process publishes; None where it does not. Raises UnknownRun."""
        self.get(run_id)
        with self._store.reading() as db:
            row = db.execute(
                "select e.pid, e.address, e.token from runs r join engines e"
                " on e.pid = r.pid and e.process_started = r.process_started and e.host = r.host where r.id = ?",
                (run_id,),
            ).fetchone()
        return None if row is None else Engine(*row)

    def mark_lost(self, run_id: str, error: str = "") -> None:
        """Writes down that the owner of an unfinished run is gone."""
        with self._store.writing() as db:
            db.execute(
                "update runs set state = 'lost', ended = coalesce(ended, ?1), updated = ?1, error = ?2"
                " where id = ?3 and state in ('running', 'stopping', 'lost')",
                (self.clock(), _short(error or _GONE), run_id),
            )

    def write_progress(self, run_id: str, rows: int, bytes: int, fraction: float | None) -> bool:  # noqa: A002
        """At once or not at all: False when another process is writing just now."""
        return self._store.attempt(
            "update runs set rows = ?, bytes = ?, fraction = ?, updated = ? where id = ?",
            (rows, bytes, fraction, self.clock(), run_id),
        )

    def write_finish(self, run_id: str, state: str, error: str, latest: tuple[int, int, float | None] | None) -> None:
        now = self.clock()
        if latest is None:
            self._store.write(f"{_FINISH} {_UNFINISHED}", (state, _short(error), now, now, run_id))
        else:
            with_figures = f"{_FINISH}, rows = ?, bytes = ?, fraction = ? {_UNFINISHED}"
            self._store.write(with_figures, (state, _short(error), now, now, *latest, run_id))

    def close(self) -> None:
        """Lets go of the file; a later call opens it again. Idempotent."""
        self._store.close()

    def _sweep(self, rows: Iterable[tuple[Any, ...]], execute: Callable[..., object], now: float) -> None:
        """Writes down what reading would decide anew each time. Natives stay: their watchdog may be at work."""
        for row in rows:
            if self._info(row, {}).state == "lost":
                execute(
                    "update runs set state = 'lost', ended = ?, error = ? where id = ? and ended is null",
                    (now, _GONE, row[0]),
                )

    def _info(self, row: tuple[Any, ...], natives: Mapping[str, tuple[NativeWork, ...]]) -> RunInfo:
        run_id, kind, title, pid, begun, host, user, state, started, ended, rows, size, fraction, error, updated = row[
            :15
        ]
        statement, connections = row[15:]
        if state in ACTIVE:
            alive = Process(pid, begun, host).alive()
            if alive is False or (alive is None and self.clock() - updated > FOREIGN_SECONDS):
                state, error = "lost", _GONE
        return RunInfo(
            id=run_id,
            kind=kind,
            title=title,
            pid=pid,
            process_started=begun,
            user=user,
            state=state,
            started=started,
            ended=ended,
            rows=rows,
            bytes=size,
            fraction=fraction,
            error=error,
            natives=natives.get(run_id, ()),
            statement=statement,
            connections=tuple(connections.split(_APART)) if connections else (),
        )


def _natives(rows: Iterable[tuple[str, str, str, float]]) -> dict[str, tuple[NativeWork, ...]]:
    found: dict[str, tuple[NativeWork, ...]] = {}
    for run_id, connection, native_id, since in rows:
        found[run_id] = (*found.get(run_id, ()), NativeWork(connection, native_id, since))
    return found


def _new_id() -> str:
    """Twelve letters and digits: 60 random bits."""
    return base64.b32encode(secrets.token_bytes(10))[:12].decode().lower()


def _short(text: str, most: int = 2_000) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


@lru_cache(maxsize=1)
def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        return ""
