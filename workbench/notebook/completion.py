"""Completion in SQL cells: connections, tables, columns by their aliases, WITH queries, frames, variables, keywords.

A cell is answered within `PATIENCE`; names that a source has not said by then come the next time.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import WorkbenchError
from workbench.notebook.names import Deadline, Names, connections, session
from workbench.notebook.options import OPTIONS
from workbench.notebook.scope import Place, Table, place
from workbench.notebook.words import FUNCTIONS, KEYWORDS, RESERVED

if TYPE_CHECKING:
    from workbench.catalog import Catalog

__all__ = ["PATIENCE", "Suggestion", "install", "prepared", "sql_at", "suggestions"]

PATIENCE = 0.8
"""Seconds for names that are not known yet; Lab shows what comes within one."""
WARM_SECONDS = 10.0
MOST = 500
_CELL = re.compile(r"\s*%%sql\b([^\n]*)\n?")
_LINE = re.compile(r"\s*(?:[\w, ]+=\s*)?%sql[ \t]+")
_HEAD = re.compile(
    r"\s*(?:\w+\s*<<)?(?:\s*--\S+(?:(?<=--native)(?:=|\s+)\S+|(?<=--rows)(?:=|\s+)\S+)?)*\s*(?:\w+\s*<<)?\s*"
)
_OPTION = re.compile(r"(?:^|\s)(?:--\S*|--native(?:=|\s+)\S*)$")
_PLAIN = re.compile(r"[^\W\d]\w*")

Suggestion = tuple[str, str]
"""The text to put in, and its kind."""


def sql_at(text: str, cursor: int) -> tuple[str, str, int] | None:
    """The magic's line up to the place, the SQL and the place in it, where `cursor` of a cell lies in SQL."""
    if cell := _CELL.match(text):
        start = cell.start(1)
        if cursor < start:
            return None
        head = _HEAD.match(text, start, cell.end(1))
        begin = head.end() if head else start
        if cursor < begin or (cursor <= cell.end(1) and _OPTION.search(text[start:cursor])):
            return text[start:cursor], "", 0
        return "", text[begin:], cursor - begin
    line_start = text.rfind("\n", 0, cursor) + 1
    line_end = text.find("\n", cursor)
    line = text[line_start : len(text) if line_end < 0 else line_end]
    found = _LINE.match(line)
    if found is None or cursor - line_start < found.end():
        return None
    head = _HEAD.match(line, found.end())
    begin, at = (head.end() if head else found.end()), cursor - line_start
    if at < begin or _OPTION.search(line[found.end() : at]):
        return line[found.end() : at], "", 0
    return "", line[begin:], at - begin


def suggestions(
    sql: str, cursor: int, names: Names, variables: Mapping[str, Any], temporary: Iterable[str], deadline: Deadline
) -> tuple[str, list[Suggestion]]:
    """The fragment that is written, and what it may become, the likeliest first."""
    at = place(sql, cursor)
    if at.kind == "nothing":
        return "", []
    if at.kind == "variable":
        found = [(f"${name}", "variable") for name, value in variables.items() if _can_be_bound(name, value)]
        return at.fragment, _matching(at.fragment, found)
    known = _Known(names, variables, list(temporary), deadline)
    return at.fragment, _matching(at.fragment, known.at(at))


class _Known:
    """What one completion can look up."""

    def __init__(self, names: Names, variables: Mapping[str, Any], temporary: list[str], deadline: Deadline) -> None:
        self.names, self.variables, self.temporary, self.deadline = names, variables, temporary, deadline

    def at(self, here: Place) -> Iterator[Suggestion]:
        if here.path:
            if here.kind == "name":
                yield from self.members(here)
            yield from self.below(here.path)
        elif here.kind == "table":
            yield from ((_quoted(table.parts[0]), "table") for table in here.queries.values())
            yield from self.sources()
            yield from _words(here.fragment, ("select", "lateral"))
        else:
            for table in here.tables:
                yield from ((_quoted(column), "column") for column in self.columns(table))
            yield from ((_quoted(table.name), "table") for table in here.tables if table.name)
            yield from _words(here.fragment, KEYWORDS)
            yield from ((f"{name}(", "function") for name in FUNCTIONS)

    def members(self, here: Place) -> Iterator[Suggestion]:
        """Columns of the table that the path names by its alias, its name, or in full."""
        wanted = [part.casefold() for part in here.path]
        for table in here.tables:
            parts = [part.casefold() for part in table.parts]
            if wanted == [table.name.casefold()] or (wanted == parts and not table.alias):
                yield from ((_quoted(column), "column") for column in self.columns(table))
                return

    def sources(self) -> Iterator[Suggestion]:
        yield from ((f"{_quoted(name)}.", "connection") for name in self.names.connections(self.deadline))
        yield from ((_quoted(name), "table") for name in self.temporary)
        yield from ((_quoted(name), "frame") for name, value in self.variables.items() if _is_frame(name, value))

    def below(self, path: tuple[str, ...]) -> Iterator[Suggestion]:
        """Tables of a connection, or of one of its schemas."""
        connection = next(
            (n for n in self.names.connections(self.deadline) if n.casefold() == path[0].casefold()), None
        )
        if connection is None or len(path) > 2:
            return
        schemas: dict[str, None] = {}
        for listed in self.names.tables(connection, self.deadline):
            schema, _, table = listed.rpartition("\n")
            if len(path) == 1:
                yield _quoted(table), "table"
                if schema:
                    schemas[schema] = None
            elif schema.casefold() == path[1].casefold():
                yield _quoted(table), "table"
        yield from ((f"{_quoted(schema)}.", "schema") for schema in schemas)

    def columns(self, table: Table) -> list[str]:
        if table.columns is not None:
            return [*table.columns, *(column for star in table.stars for column in self.columns(star))]
        if len(table.parts) > 1:
            return self.names.columns(table.parts, self.deadline)
        return _frame_columns(self.variables.get(table.parts[0]) if table.parts else None)


_preparing: threading.Thread | None = None
_early: Catalog | None = None
_early_lock = threading.Lock()


def prepared(seconds: float = 10.0) -> None:
    """Waits until what is loaded behind the first cell is loaded: with it comes pandas, where that is installed."""
    if _preparing is not None and _preparing is not threading.current_thread():
        _preparing.join(seconds)


def _let_go() -> None:
    """The session has a catalog: connections that were opened before it are closed, once who asks now is answered."""
    global _early
    with _early_lock:
        early, _early = _early, None
    if early is not None:
        closing = threading.Timer(WARM_SECONDS, early.close)
        closing.daemon = True
        closing.start()


def install(shell: Any) -> Callable[[], None]:
    """Adds the matcher to the shell's completer; the function that is returned takes it away."""
    from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

    names = Names(_catalog, saved=connections)

    def prepare() -> None:
        """On its way while the first cell is still being written: what is asked for first comes first."""
        names.connections(Deadline(WARM_SECONDS))
        with contextlib.suppress(WorkbenchError, OSError):  # the statement will say it
            from workbench.query.session import default

            default()
            _let_go()

    global _preparing
    _preparing = threading.Thread(target=prepare, name="workbench-names", daemon=True)
    _preparing.start()

    @context_matcher(identifier="workbench.sql", priority=200)  # type: ignore[untyped-decorator]
    def matcher(context: CompletionContext) -> dict[str, Any]:
        lines = context.full_text.split("\n")
        cursor = sum(len(line) + 1 for line in lines[: context.cursor_line]) + context.cursor_position
        found = sql_at(context.full_text, cursor)
        if found is None:
            return {"completions": []}
        head, sql, at = found
        deadline = Deadline(PATIENCE)
        if sql or not head:
            fragment, made = suggestions(sql, at, names, shell.user_ns, _temporary(), deadline)
        else:
            fragment, made = _of_the_head(head, names, deadline)
        # Nothing at all would let Python's completion have its say; what is written already changes nothing.
        fragment = fragment if made or fragment else context.full_text[max(0, cursor - 1) : cursor]
        shown = made or [(fragment, "text")]
        return {
            "completions": [SimpleCompletion(text=text, type=kind) for text, kind in shown],
            "matched_fragment": fragment,
            "suppress": True,
            "ordered": True,
        }

    shell.Completer.custom_matchers.append(matcher)

    def undo() -> None:
        if matcher in shell.Completer.custom_matchers:
            shell.Completer.custom_matchers.remove(matcher)

    return undo


def _of_the_head(head: str, names: Names, deadline: Deadline) -> tuple[str, list[Suggestion]]:
    """Options of the magic, and the connection that follows `--native`."""
    if native := re.search(r"--native(?:=|\s+)(\S*)$", head):
        found: list[Suggestion] = [(name, "connection") for name in names.connections(deadline)]
        return native[1], _matching(native[1], found)
    option = re.search(r"(?:--\S*)?$", head)
    fragment = option[0] if option else ""
    return fragment, _matching(fragment, [(f"--{name}", "option") for name in OPTIONS])


def _matching(fragment: str, found: Iterable[Suggestion]) -> list[Suggestion]:
    wanted = fragment.strip('"').casefold()
    seen: dict[str, str] = {}
    for text, kind in found:
        if text.strip('"').casefold().startswith(wanted):
            seen.setdefault(text, kind)
            if len(seen) == MOST:
                break
    return list(seen.items())


def _words(fragment: str, words: Iterable[str]) -> Iterator[Suggestion]:
    """Keywords in the case in which they are begun."""
    upper = fragment.isupper()
    return ((word.upper() if upper else word, "keyword") for word in words)


def _quoted(name: str) -> str:
    if _PLAIN.fullmatch(name) and name.lower() not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def _can_be_bound(name: str, value: object) -> bool:
    kinds = (int, float, str, bytes, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta, list, tuple)
    return not name.startswith("_") and name != "In" and isinstance(value, kinds)


def _is_frame(name: str, value: object) -> bool:
    kind = type(value)
    named = (kind.__module__.partition(".")[0], kind.__name__)
    return not name.startswith("_") and named in {
        ("polars", "DataFrame"), ("polars", "LazyFrame"), ("pandas", "DataFrame"), ("pyarrow", "Table"),
        ("pyarrow", "RecordBatch"), ("workbench", "Result"),
    }  # fmt: skip


def _frame_columns(value: Any) -> list[str]:
    """Of a frame, where saying them costs nothing: a lazy frame or a result would begin to work."""
    kind = type(value)
    if kind.__module__.partition(".")[0] == "pyarrow":
        return [str(name) for name in value.schema.names]
    if kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] in ("polars", "pandas"):
        return [str(name) for name in value.columns]
    return []


def _catalog() -> Catalog:
    """The session's, or one of its own while the engine is still being imported: a third of the time until the first
    names of tables are there."""
    global _early
    if (there := session()) is not None:
        return there.catalog
    from workbench.catalog import Catalog

    with _early_lock:
        if _early is None:
            _early = Catalog()
        return _early


def _temporary() -> list[str]:
    there = session()
    return there.tables() if there is not None else []
