"""`Events`: which table, and which of its columns is what."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import DocumentError, InvalidParameter
from workbench.documents import Document
from workbench.reports.presets import Column, Expr, preset as known_preset
from workbench.reports.scan import is_path
from workbench.reports.zones import Zone

if TYPE_CHECKING:
    from workbench.reports.weblog import Log

__all__ = ["KIND", "ROLES", "VERSION", "Events"]

KIND, VERSION = "events", 1
ROLES = ("user", "time", "event", "page", "referrer", "source", "device", "country")
UNITS = ("s", "ms", "us", "ns")


class Events:
    """Events in a table, with what reports need to know of it.

        Events("clicks.events", user="user_id", time="ts", event="name", page="url")

    `table` is `connection.table`, a path of files (a folder, a pattern, a Parquet file), or a frame or result itself.
    Each keyword names the column that is: the `user`, the `time`, the `event`'s name, the `page`, the `referrer`
    (whose host is the source), or the `source` itself, the `device`, the `country`. A `preset` (`shop`, `ga4`)
    fills in what is not given.

    `zone` is the one of times that have none. `unit` is that of times that are plain numbers (`s`, `ms`, `us`, `ns`);
    else it is seen from their size. `page_views` are the names of events that are page views; without an event column
    each event is one. `passive` are the names of those that are no interaction. `sites` are the site's own hosts.

    Where several events of one user have the same time, nothing depends on which of them comes first; where one of
    their values has to be taken (a session's source) it is the first of the alphabet.
    """

    def __init__(
        self,
        table: Any,
        /,
        *,
        user: Column | None = None,
        time: Column | None = None,
        event: Column | None = None,
        page: Column | None = None,
        referrer: Column | None = None,
        source: Column | None = None,
        device: Column | None = None,
        country: Column | None = None,
        preset: str | None = None,
        zone: str | None = None,
        unit: str | None = None,
        page_views: Iterable[str] | None = None,
        passive: Iterable[str] | None = None,
        sites: Iterable[str] = (),
    ) -> None:
        base = known_preset(preset)
        given = dict(zip(ROLES, (user, time, event, page, referrer, source, device, country), strict=True))
        self.table = table
        self.columns: dict[str, Column] = {
            role: column for role in ROLES if (column := given[role] or base.columns.get(role)) is not None
        }
        for role in ("user", "time"):
            if role not in self.columns:
                raise InvalidParameter(role, f"is missing: name the column, `{role}=…`, or a `preset=`.")
        for role, column in self.columns.items():
            if not isinstance(column, (str, Expr)) or not (column if isinstance(column, str) else column.sql).strip():
                raise InvalidParameter(role, "is a column's name, or `Expr(…)` with an expression.")
        if unit is not None and unit not in UNITS:
            raise InvalidParameter("unit", f"is `{unit}`; there are {', '.join(f'`{one}`' for one in UNITS)}.")
        self.preset = preset
        self.unit = unit or base.unit
        self.zone = Zone(zone or "UTC").name
        self.page_views = _names("page_views", base.page_views if page_views is None else page_views)
        self.passive = _names("passive", base.passive if passive is None else passive)
        self.sites = frozenset(site.casefold().removeprefix("www.") for site in _names("sites", sites))

    @classmethod
    def log(cls, path: str | Path, form: str = "combined", *, user: Column = "host", **more: Any) -> Events:
        """Events of a web server's access log, or of several by a pattern; `.gz` too. `form` is `combined`, which
        reads Apache's and nginx's and the `common` one as well. A user is a host, or `user="visitor"`: host and user
        agent. The lines that are none are kept: `events.log_read.refused`."""
        from workbench.reports.weblog import read_log

        read = read_log(path, form)
        made = cls(read.table, user=user, preset="log", **more)
        made.log_read = read
        return made

    log_read: Log | None = None
    """Of events of a log: how many lines were read, parsed and refused, and the refused ones."""

    # --- saved

    def save(self, name: str) -> Document:
        """Saves it as `events/name`. Raises DocumentError for a frame, which is only in this process."""
        from workbench.reports.saving import store

        return store().save(KIND, name, self.body(), VERSION)

    @classmethod
    def load(cls, name: str) -> Events:
        from workbench.reports.saving import store

        return cls.of(store().load(KIND, name, VERSION))

    def body(self) -> dict[str, Any]:
        if self.log_read is not None:
            table: Any = {"log": _absolute(self.log_read.path), "form": self.log_read.form}
        elif isinstance(self.table, (str, Path)):
            table = _absolute(self.table) if is_path(self.table) else self.table
        else:
            kind = type(self.table).__name__
            raise DocumentError(f"{KIND}/*", f"cannot be saved: its table is a {kind} of this process; name a table.")
        columns = {role: one if isinstance(one, str) else {"sql": one.sql} for role, one in self.columns.items()}
        lists = {name: sorted(getattr(self, name)) for name in ("page_views", "passive", "sites")}
        return {"table": table, "columns": columns, "unit": self.unit, "zone": self.zone, **lists}

    @classmethod
    def of(cls, document: Document) -> Events:
        body, where = document.body, f"{document.kind}/{document.name}"
        table, columns = body.get("table"), body.get("columns")
        if not isinstance(columns, dict) or not set(columns) <= set(ROLES):
            raise DocumentError(where, "has no columns that are known: save it again.")
        mapped: dict[str, Any] = {
            role: Expr(str(one["sql"])) if isinstance(one, dict) else str(one) for role, one in columns.items()
        }
        known = ("unit", "zone", "page_views", "passive", "sites")
        more = {name: body[name] for name in known if body.get(name) is not None}
        try:
            if isinstance(table, dict):
                return cls.log(table["log"], table.get("form", "combined"), **{**mapped, **more})
            if not isinstance(table, str):
                raise DocumentError(where, "names no table: save it again.")
            return cls(table, **mapped, **more)
        except (KeyError, TypeError):
            raise DocumentError(where, "is not whole: save it again.") from None

    def __repr__(self) -> str:
        table = self.table if isinstance(self.table, (str, Path)) else f"a {type(self.table).__name__}"
        shown = ", ".join(f"{role}={one!r}" for role, one in self.columns.items())
        lines = [f"Events({table}, {shown})"]
        if self.log_read is not None:
            lines.append(repr(self.log_read))
        return "\n".join(lines)


def _absolute(path: str | Path) -> str:
    """A path means the same from another folder."""
    return os.path.abspath(os.path.expanduser(path))


def _names(what: str, given: Iterable[str] | str) -> frozenset[str]:
    names = [given] if isinstance(given, str) else list(given)
    if not all(isinstance(name, str) and re.search(r"\S", name) for name in names):
        raise InvalidParameter(what, "is a list of names.")
    return frozenset(names)
