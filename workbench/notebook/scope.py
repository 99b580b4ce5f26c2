"""What can stand at a place in a statement that is still being written: no parser would take it yet, so tokens are
looked at, level by level of the parentheses around the place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.query.tokens import Token, tokens

__all__ = ["Place", "Table", "place"]

_TABLES_FOLLOW = {"FROM", "JOIN", "TABLE", "DESCRIBE", "SUMMARIZE", "INTO"}
_ENDS_FROM = {
    "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "QUALIFY", "WINDOW", "UNION", "INTERSECT", "EXCEPT",
    "SELECT", "ON", "USING", "SAMPLE", "PIVOT", "UNPIVOT",
}  # fmt: skip
_NO_ALIAS = _ENDS_FROM | _TABLES_FOLLOW | {
    "AS", "LEFT", "RIGHT", "FULL", "INNER", "OUTER", "CROSS", "NATURAL", "SEMI", "ANTI", "ASOF", "POSITIONAL",
    "LATERAL", "TABLESAMPLE", "SET", "VALUES", "ROLLUP", "CUBE", "WITH",
}  # fmt: skip
_BEFORE, _BEHIND, _LEVELS = 8000, 4000, 20
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_ENDS_LIST = {"FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "UNION", "HAVING", "QUALIFY"}


@dataclass(frozen=True)
class Table:
    """A table that the statement names: by its parts, or a query in parentheses by the columns it gives."""

    parts: tuple[str, ...]
    alias: str = ""
    columns: tuple[str, ...] | None = None
    stars: tuple[Table, ...] = ()

    @property
    def name(self) -> str:
        return self.alias or (self.parts[-1] if self.parts else "")


@dataclass(frozen=True)
class Place:
    """`kind` is `table` (a table is to follow), `name` (anything else), `variable` (after `$`) or `nothing` (within
    a text or a comment). `fragment` is what is written of the name, `path` what stands before it with dots. `tables`
    are those in reach, the nearest first; `queries` are the WITH queries by name."""

    kind: str
    fragment: str = ""
    path: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    queries: dict[str, Table] = field(default_factory=dict)


def place(text: str, cursor: int) -> Place:
    """What stands at that character of the statement; of a very long one the neighbourhood is looked at, for an
    answer has to come between two key strokes."""
    start = max(0, cursor - _BEFORE)
    text, cursor = text[start : cursor + _BEHIND], cursor - start
    before = tokens(text[:cursor])
    if _hidden(text, cursor, before):
        return Place("nothing")
    fragment, start = "", cursor
    if before and before[-1].end == cursor and before[-1].kind in ("word", "quoted", "number"):
        fragment, start = before[-1].text, before[-1].start
        before = before[:-1]
    elif before and before[-1].end == cursor and (before[-1].kind == "parameter" or before[-1].text == "$"):
        return Place("variable", before[-1].text)
    if fragment and fragment[0].isdigit():
        return Place("nothing")
    path: list[str] = []
    while len(before) > 1 and before[-1].text == "." and before[-2].kind in ("word", "quoted"):
        path.insert(0, before[-2].name)
        before = before[:-2]
    # The name that is being written is taken out, so that it is no alias of what stands before it.
    behind = tokens(text[cursor:])
    moved = [Token(t.kind, t.text, t.start + cursor, t.end + cursor) for t in behind]
    if moved and moved[0].start == cursor and moved[0].kind == "word" and start < cursor:
        moved = moved[1:]
    whole = [*before, *moved]
    queries = _queries(whole)
    tables: list[Table] = []
    for level in _levels(whole, len(before)):
        tables += _from(level, queries)
    return Place("table" if _table_follows(before) else "name", fragment, tuple(path), tuple(tables), queries)


def _hidden(text: str, cursor: int, before: Sequence[Token]) -> bool:
    """Whether the place is within a text or a comment."""
    if before and before[-1].end == cursor and before[-1].kind == "string":
        return not _closed(before[-1].text)
    probe = tokens(text[:cursor] + "x")
    return not probe or probe[-1].end != cursor + 1


def _closed(text: str) -> bool:
    if text.startswith("$"):
        tag = text[: text.index("$", 1) + 1]
        return len(text) >= 2 * len(tag) and text.endswith(tag)
    if text[0] in "eE":
        text = _ESCAPED.sub("", text)
    return text.count("'") % 2 == 0


def _table_follows(before: Sequence[Token]) -> bool:
    depth = 0
    for token in reversed(before):
        if token.text == ")":
            depth += 1
        elif token.text == "(":
            if depth == 0:
                return False
            depth -= 1
        elif depth == 0:
            if token is before[-1] and token.upper in _TABLES_FOLLOW:
                return True
            if before[-1].text != ",":
                return False
            if token.upper in _ENDS_FROM:
                return False
            if token.upper == "FROM":
                return True
    return False


def _levels(whole: Sequence[Token], at: int) -> list[list[Token]]:
    """The tokens of each level of parentheses around the place, the innermost first."""
    opened: list[int] = []
    for index in range(at):
        if whole[index].text == "(":
            opened.append(index)
        elif whole[index].text == ")" and opened:
            opened.pop()
    near = list(reversed(opened))[:_LEVELS]
    return [list(whole[start + 1 : _closing(whole, start)]) for start in near] + [list(whole)]


def _closing(whole: Sequence[Token], start: int) -> int:
    depth = 0
    for index in range(start, len(whole)):
        depth += {"(": 1, ")": -1}.get(whole[index].text, 0)
        if depth == 0:
            return index
    return len(whole)


def _from(level: Sequence[Token], queries: dict[str, Table]) -> list[Table]:
    """The tables of the FROM clauses of one level, not of those within parentheses."""
    found: list[Table] = []
    index, awaited, inside = 0, False, False
    while index < len(level):
        token = level[index]
        if token.upper in ("FROM", "JOIN"):
            awaited = inside = True
        elif token.text == "," and inside:
            awaited = True
        elif awaited and token.upper != "LATERAL":
            table, index = _item(level, index, queries)
            awaited = False
            if table is not None:
                found.append(table)
            continue
        elif token.text == "(":
            index = _closing(level, index)
        elif token.upper in _ENDS_FROM:
            inside = token.upper in ("ON", "USING") and inside
        index += 1
    return found


def _item(level: Sequence[Token], index: int, queries: dict[str, Table]) -> tuple[Table | None, int]:
    """One item of a FROM clause, and where it ends."""
    token = level[index]
    if token.text == "(":
        end = _closing(level, index)
        table = _query(level[index + 1 : end], queries)
        index = end + 1
    elif token.kind in ("word", "quoted"):
        parts = [token.name]
        index += 1
        while index + 1 < len(level) and level[index].text == "." and level[index + 1].kind in ("word", "quoted"):
            parts.append(level[index + 1].name)
            index += 2
        if index < len(level) and level[index].text == "(":  # a table function
            index, table = _closing(level, index) + 1, Table((), columns=())
        else:
            known = queries.get(parts[0].casefold()) if len(parts) == 1 else None
            table = Table(tuple(parts), "", known.columns, known.stars) if known else Table(tuple(parts))
    else:
        return None, index + 1
    alias, index = _alias(level, index)
    return Table(table.parts, alias, table.columns, table.stars), index


def _alias(level: Sequence[Token], index: int) -> tuple[str, int]:
    if index < len(level) and level[index].upper == "AS":
        index += 1
    if index < len(level) and level[index].kind in ("word", "quoted") and level[index].upper not in _NO_ALIAS:
        return level[index].name, index + 1
    return "", index


def _queries(whole: Sequence[Token]) -> dict[str, Table]:
    """`name [(columns)] AS [NOT MATERIALIZED] ( … )`, wherever there is a WITH. Later ones may use earlier ones."""
    found: dict[str, Table] = {}
    if not any(token.upper == "WITH" for token in whole):
        return found
    for index, token in enumerate(whole):
        if token.upper != "AS" or index == 0:
            continue
        start = index + 1
        while start < len(whole) and whole[start].upper in ("NOT", "MATERIALIZED"):
            start += 1
        if start >= len(whole) or whole[start].text != "(":
            continue
        name, columns = index - 1, None
        if whole[name].text == ")":
            opening = next((at for at in range(name, -1, -1) if whole[at].text == "("), 0)
            columns = tuple(t.name for t in whole[opening:name] if t.kind in ("word", "quoted"))
            name = opening - 1
        if name >= 0 and whole[name].kind in ("word", "quoted"):
            inner = _query(whole[start + 1 : _closing(whole, start)], found)
            table = Table((whole[name].name,), "", columns, ()) if columns else inner
            found[whole[name].name.casefold()] = Table((whole[name].name,), "", table.columns, table.stars)
    return found


def _query(body: Sequence[Token], queries: dict[str, Table]) -> Table:
    """What a query in parentheses gives: the names of its select list, and the tables whose `*` it takes."""
    names: list[str] = []
    tables = _from(body, queries)
    stars: list[Table] = []
    for item in _select_list(body):
        last = item[-1]
        if last.text == "*":
            owner = item[0].name if len(item) == 3 and item[1].text == "." else ""
            stars += [table for table in tables if not owner or table.name.casefold() == owner.casefold()]
        elif last.kind in ("word", "quoted") and last.upper not in ("END", "NULL"):
            names.append(last.name)
    return Table((), "", tuple(names), tuple(stars))


def _select_list(body: Sequence[Token]) -> list[list[Token]]:
    start = next((index for index, token in enumerate(body) if token.upper == "SELECT"), None)
    if start is None:
        return []
    items: list[list[Token]] = [[]]
    index = start + 1
    while index < len(body) and body[index].upper not in _ENDS_LIST:
        if body[index].text == ",":
            items.append([])
        elif body[index].text == "(":
            end = min(_closing(body, index), len(body) - 1)
            items[-1].append(body[end])
            index = end
        elif body[index].upper not in ("DISTINCT", "ALL"):
            items[-1].append(body[index])
        index += 1
    return [item for item in items if item]
