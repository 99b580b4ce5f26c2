"""From `Events` to the statement that reads them: the columns that a report needs, of the period alone."""

from __future__ import annotations

import copy
import datetime
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench.contract.errors import InvalidParameter, UnknownColumn, UsageError
from workbench.query.tokens import tokens
from workbench.reports.columns import milliseconds
from workbench.reports.periods import Window, window
from workbench.reports.presets import Column, Expr
from workbench.reports.times import Clock, clock_of
from workbench.reports.zones import Zone

if TYPE_CHECKING:
    from workbench.query.result import Result
    from workbench.query.session import Session
    from workbench.reports.events import Events

__all__ = ["Scan", "Source", "is_path", "literal"]

_VARIABLE = "events"


@dataclass(frozen=True)
class Scan:
    """A statement, and which of its columns has which role."""

    text: str
    roles: Mapping[str, str]


class Source:
    """The table of `Events` in a session: its columns are known, its times are understood. `follow` is told each
    statement that has started, and may raise."""

    def __init__(self, events: Events, session: Session, follow: Callable[[Result], None]) -> None:
        self.events, self.session, self._follow = events, session, follow
        self.table, self._value = _table(events.table)
        self.schema = self.run(f"select * from {self.table} limit 0").schema
        self._sql = {role: self._column(role, column) for role, column in events.columns.items()}
        self.clock: Clock = clock_of(self)

    def followed(self, follow: Callable[[Result], None]) -> Source:
        """The same as it was found, for another who follows."""
        other = copy.copy(self)
        other._follow = follow
        return other

    def run(self, text: str) -> Result:
        result = self.session.sql(text, variables=self._variables, part=True).start()
        self._follow(result)
        return result

    @property
    def connections(self) -> tuple[str, ...]:
        """The one that the table is of, or none."""
        if self._value is not None or is_path(self.events.table):
            return ()
        names = tokens(self.events.table)
        return (names[0].name,) if len(names) > 1 else ()

    def sql(self, role: str) -> str:
        """A role's column as SQL."""
        return self._sql[role]

    def kind(self, role: str) -> pa.DataType:
        """The type of a role's column; a computed one is asked for."""
        text = self._sql[role]
        if isinstance(self.events.columns[role], str) and _is_name(text):
            return self.schema.field(_unquoted(text)).type
        return self.run(f"select {text} as t from {self.table} limit 0").schema.field(0).type

    def scan(self, roles: Iterable[str], span: tuple[int, int] | None, where: Mapping[str, Any]) -> Scan:
        """The columns of the roles that are mapped, of events from the one until before the other time (ms), or of all.
        The source may hand on a few more, where its times have no zone."""
        names: dict[str, str] = {}
        items: dict[str, str] = {}
        for role in roles:
            if role not in self._sql:
                continue
            text = self.clock.value if role == "time" else self._sql[role]
            plain = text == self._sql[role] and isinstance(self.events.columns[role], str) and _is_name(text)
            if text not in items:
                alias = _unquoted(text) if plain else self._free(role)
                items[text] = text if plain else f'{text} as "{alias}"'
                names[role] = alias
            else:
                names[role] = next(names[other] for other in names if self._text(other) == text)
        parts = [*(self.clock.within(*span) if span else ()), *(self._filter(*one) for one in where.items())]
        text = f"select {', '.join(items.values())}\nfrom {self.table}"
        return Scan(text + (f"\nwhere {' and '.join(parts)}" if parts else ""), names)

    def timeless(self, where: Mapping[str, Any]) -> Scan:
        """How many events have no time, as `timeless`: those of a period come without them."""
        time = self._sql["time"]
        none = f"({time} is null or not isfinite({time}))" if self.clock.finite else f"{time} is null"
        parts = [none, *(self._filter(*one) for one in where.items())]
        return Scan(f"select count(*) as timeless\nfrom {self.table}\nwhere {' and '.join(parts)}", {})

    def span(self, zone: Zone) -> Window:
        """The whole local days from the first event to the last; today's where there is none."""
        text = f"select min({self.clock.value}) as low, max({self.clock.value}) as high from {self.table}"
        if self.clock.finite:
            text += f" where isfinite({self.clock.value})"
        row = self.run(text).arrow()
        low, high = (milliseconds(row[name].combine_chunks(), self.clock.unit) for name in ("low", "high"))
        if low[1] is not None:
            return window("today", zone, datetime.datetime.now(datetime.UTC))
        days = zone.day_of(int(low[0][0])), zone.day_of(int(high[0][0]))
        return Window(zone.day_start(days[0]), zone.day_start(days[1] + 1), days)

    # --- inside

    def _text(self, role: str) -> str:
        return self.clock.value if role == "time" else self._sql[role]

    def _free(self, role: str) -> str:
        """A name for a computed column that no column of the table has."""
        taken = {name.casefold() for name in self.schema.names}
        while role in taken:
            role += "_"
        return role

    def _variables(self, name: str) -> object:
        if self._value is None or name != _VARIABLE:
            raise KeyError(name)
        return self._value

    def _column(self, role: str, column: Column) -> str:
        if isinstance(column, Expr):
            return f"({column.sql})"
        found = self._named(column)
        if found is not None:
            return _quoted(found)
        head, *rest = column.split(".")
        top = self._named(head)
        if rest and top is not None and pa.types.is_struct(self.schema.field(top).type):
            return ".".join(map(_quoted, (top, *rest)))
        raise UnknownColumn(column, self.schema.names, f"It was to be the `{role}` of the events in {self.table}.")

    def _named(self, name: str) -> str | None:
        names: Sequence[str] = self.schema.names
        if name in names:
            return name
        return next((other for other in names if other.casefold() == name.casefold()), None)

    def _filter(self, role: str, value: Any) -> str:
        if role not in self._sql or role == "time":
            raise InvalidParameter(
                "where", f"names `{role}`; the events have {', '.join(f'`{r}`' for r in self._sql)}."
            )
        values = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
        there = sorted((one for one in values if one is not None), key=repr)
        parts = [f"{self._sql[role]} in ({', '.join(map(literal, there))})"] if there else []
        parts += [f"{self._sql[role]} is null"] if None in values or not values else []
        return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"


def literal(value: Any) -> str:
    """A value of Python as SQL."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return "'" + value.replace("'", "''") + "'"
        case datetime.date() if not isinstance(value, datetime.datetime):
            return f"date '{value.isoformat()}'"
    raise InvalidParameter(
        "where", f"compares with {value!r}: text, whole numbers, dates and None can be compared with."
    )


def is_path(table: Any) -> bool:
    """Whether a table is one of files: a Path, or text that looks like one."""
    if isinstance(table, str):
        return re.search(r"[/\\*]|\.(parquet|csv|jsonl?|arrow|feather|ndjson)$", table) is not None
    return isinstance(table, Path)


def _table(table: Any) -> tuple[str, object | None]:
    """The table in a statement; and the value, where it is one of this process."""
    if is_path(table):
        return literal(str(table)), None
    if not isinstance(table, str):
        return _VARIABLE, table
    found = tokens(table)
    names, dots = found[::2], found[1::2]
    fine = all(token.kind in ("word", "quoted") for token in names) and all(token.text == "." for token in dots)
    if not found or not fine or len(found) % 2 == 0 or len(names) > 3:
        raise UsageError(
            f"`{table}` is no table: write `connection.table`, a path, or give a frame or a result itself."
        )
    return ".".join(_quoted(token.name) for token in names), None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is_name(text: str) -> bool:
    return re.fullmatch(r'"(?:[^"]|"")*"', text) is not None


def _unquoted(text: str) -> str:
    return text[1:-1].replace('""', '"')
