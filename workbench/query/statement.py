"""One text → one statement of a kind that is allowed, with DuckDB's own parse tree of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.contract.errors import SqlSyntaxError, StatementRefused
from workbench.query.tokens import Splice, Text, Token, tokens

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Kind", "Statement", "parse", "syntax_error"]

MAX_LENGTH = 1_000_000
"""Longer statements are refused: nobody writes them, and parsers are slow on them."""
MAX_NESTING = 400
_NO_BREAK = re.compile(r"[^\n]")
_TOO_DEEP = re.compile(r"Max expression depth limit of (\d+) exceeded")

_ALLOWED = (
    "SELECT, WITH, FROM, VALUES, TABLE, PIVOT, DESCRIBE, SUMMARIZE, EXPLAIN, CREATE TEMP TABLE … AS and DROP TABLE of "
    "such a table"
)
_WAYS = {
    "ATTACH": "connect it by name with `workbench.connect`, then write `connection.table`",
    "COPY": "write a result with `result.write(path)` or `workbench.write(result, 'connection.table')`",
    "CREATE": "write `create temp table name as select …`, or keep the result in a variable and use its name",
    "DELETE": "this workbench reads; change data with the source's own tools",
    "EXPORT": "write a result with `result.write(path)`",
    "INSERT": "write a result with `workbench.write(result, 'connection.table')`",
    "SHOW": "`describe connection.table` shows a table, `workbench.connection(name).tables()` the tables of one",
    "UPDATE": "write a result with `workbench.write(result, 'connection.table', mode='upsert', key=…)`",
}
_QUERIES = frozenset(
    {
        "SELECT",
        "WITH",
        "FROM",
        "VALUES",
        "TABLE",
        "PIVOT",
        "PIVOT_WIDER",
        "PIVOT_LONGER",
        "UNPIVOT",
        "DESCRIBE",
        "DESC",
        "SUMMARIZE",
    }
)


class Kind(StrEnum):
    QUERY = "query"
    EXPLAIN = "explain"
    CREATE = "create"
    DROP = "drop"


class Form:
    """What statements have in common that differ only in their whole numbers: what was made of one is kept here by
    those who made it, for the next. Thread-safe as each attribute is set at once, and is never changed."""

    __slots__ = ("direct", "resolution", "seen")

    def __init__(self) -> None:
        self.resolution: Any = None
        self.direct: Any = None
        self.seen: Any = None


@dataclass(frozen=True)
class Statement:
    """`body` is the query within the text, as long as the text: what stands around it is blanked, so that each place
    in the one is the same place in the other. `prefix` is what has to go before the body (EXPLAIN …). `name` is the
    temporary table's; `optional` says IF [NOT] EXISTS. `pivots`: columns of a PIVOT come from the data."""

    kind: Kind
    text: str
    body: str
    tree: Any = None
    prefix: str = ""
    name: str = ""
    replace: bool = False
    optional: bool = False
    pivots: bool = False
    form: Form | None = field(default=None, compare=False, repr=False)


def parse(text: str, parser: DuckDBPyConnection) -> Statement:
    """Raises SqlSyntaxError with the place, StatementRefused by the statement's name, and DuckDB's FatalException
    where the parser's instance is broken."""
    if "\0" in text:
        raise SqlSyntaxError("The statement holds a NUL character", *Text(text).place(text.index("\0")))
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise SqlSyntaxError("The statement holds half of a surrogate pair, which is no character")
    if len(text) > MAX_LENGTH:
        raise SqlSyntaxError(f"The statement has {len(text):,} characters; at most {MAX_LENGTH:,} are read")
    words = list(tokens(text))
    _nesting(text, words)
    try:
        found = parser.extract_statements(text)
    except duckdb.FatalException:
        raise
    except duckdb.Error as error:
        raise syntax_error(error, text) from None
    if not found:
        raise SqlSyntaxError("There is no statement")
    if len(found) > 1:
        raise StatementRefused(
            "A second statement", "one call runs one statement; write the others in calls of their own"
        )
    while words and words[-1].text == ";":
        words.pop()
    return _classified(text, words, parser)


def syntax_error(error: duckdb.Error, text: str, splices: Sequence[Splice] = ()) -> SqlSyntaxError:
    """DuckDB's error (told in JSON) as ours, with the place in the text as it was written."""
    facts = engine_facts(error)
    line = column = 0
    if (position := facts.get("position")) is not None:
        written = Text(Splice.apply(text, splices)) if splices else Text(text)
        line, column = Text(text).place(Splice.origin(written.character(int(position)), splices))
    return SqlSyntaxError(_sentence(str(facts.get("exception_message", error))), line, column)


def engine_facts(error: duckdb.Error) -> dict[str, Any]:
    """What an engine that was told `errors_as_json` says of an error."""
    message = str(error)
    try:
        facts, _ = json.JSONDecoder().raw_decode(message, message.index("{"))  # DuckDB may say more after it
    except ValueError:
        return {"exception_message": message}
    return facts if isinstance(facts, dict) else {"exception_message": message}


def _sentence(message: str) -> str:
    first = message.strip()
    if depth := _TOO_DEEP.search(first):
        return (
            f"An expression nests deeper than {int(depth[1]):,} levels. Write many values as `x in (…)`, or put them "
            "into a frame and join it"
        )
    if len(first) > 600:
        first = first[:599] + "…"
    return first[:1].upper() + first[1:]


def _nesting(text: str, words: Sequence[Token]) -> None:
    depth = run = 0
    for word in words:
        if word.text in ("(", "[", "{"):
            depth += 1
        elif word.text in (")", "]", "}"):
            depth -= 1
        run = run + 1 if word.upper == "NOT" or word.text in "-+~" else 0
        if depth > MAX_NESTING or run > MAX_NESTING:
            raise SqlSyntaxError(f"The statement nests deeper than {MAX_NESTING} levels", *Text(text).place(word.start))


def _classified(text: str, words: list[Token], parser: DuckDBPyConnection) -> Statement:
    end = words[-1].end
    first = next((word.upper for word in words if word.text != "("), "")
    if first in _QUERIES:
        body = text[:end]
        tree, pivots = _tree(body, words, parser)
        return Statement(Kind.QUERY, text, body, tree, pivots=pivots)
    if first == "EXPLAIN":
        return _explained(text, words, parser)
    if first == "CREATE":
        return _created(text, words, parser)
    if first == "DROP":
        return _dropped(text, words)
    raise _refused(first)


def _refused(first: str) -> StatementRefused:
    way = _WAYS.get(first)
    return StatementRefused(first or "This statement", way if way else f"what runs here is {_ALLOWED}")


def _explained(text: str, words: list[Token], parser: DuckDBPyConnection) -> Statement:
    at = 1
    if at < len(words) and words[at].upper in ("ANALYZE", "ANALYSE"):
        at += 1
    elif at < len(words) and words[at].text == "(" and words[at + 1].upper in ("ANALYZE", "FORMAT"):
        while words[at].text != ")":
            at += 1
        at += 1
    inner = _classified(text, words[at:], parser)
    if inner.kind is not Kind.QUERY:
        raise StatementRefused(f"EXPLAIN {inner.kind.upper()}", "only queries are explained")
    start, end = words[at].start, words[-1].end
    prefix = text[words[0].start : words[at - 1].end] + " "
    tree, pivots = _tree(body := _blank(text[:start]) + text[start:end], words[at:], parser)
    return Statement(Kind.EXPLAIN, text, body, tree, prefix=prefix, pivots=pivots)


def _created(text: str, words: list[Token], parser: DuckDBPyConnection) -> Statement:
    upper = [word.upper for word in words]
    at, replace, optional = 1, False, False
    if upper[at : at + 2] == ["OR", "REPLACE"]:
        at, replace = at + 2, True
    temporary = upper[at] in ("TEMP", "TEMPORARY")
    at += temporary
    what = upper[at]
    if not temporary or what != "TABLE":
        raise StatementRefused(f"CREATE {what}", _WAYS["CREATE"])
    at += 1
    if upper[at : at + 3] == ["IF", "NOT", "EXISTS"]:
        at, optional = at + 3, True
    if words[at + 1].text == ".":
        raise StatementRefused(
            "A schema before a temporary table's name", "it lives in this session; write its name alone"
        )
    if at + 2 >= len(words) or upper[at + 1] != "AS":
        raise StatementRefused("CREATE TEMP TABLE without AS", _WAYS["CREATE"])
    inner = _classified(text, words[at + 2 :], parser)
    if inner.kind is not Kind.QUERY:
        raise StatementRefused(f"CREATE TEMP TABLE … AS {inner.kind.upper()}", _WAYS["CREATE"])
    start, end = words[at + 2].start, words[-1].end
    body = _blank(text[:start]) + text[start:end]
    tree, pivots = _tree(body, words[at + 2 :], parser)
    return Statement(
        Kind.CREATE, text, body, tree, name=words[at].name, replace=replace, optional=optional, pivots=pivots
    )


def _dropped(text: str, words: list[Token]) -> Statement:
    upper = [word.upper for word in words]
    if upper[1] != "TABLE":
        raise StatementRefused(f"DROP {upper[1]}", "only temporary tables of this session can be dropped")
    at, optional = 2, False
    if upper[at : at + 2] == ["IF", "EXISTS"]:
        at, optional = at + 2, True
    if len(words) != at + 1:
        raise StatementRefused(
            "DROP of more than a temporary table's name", "only temporary tables of this session can be dropped"
        )
    return Statement(Kind.DROP, text, "", name=words[at].name, optional=optional)


def _tree(body: str, words: Sequence[Token], parser: DuckDBPyConnection) -> tuple[Any, bool]:
    """The parse tree, in the places of `body`; and whether a PIVOT takes its columns from the data."""
    start = words[0].start
    body = _blank(body[:start]) + body[start:]
    reply = _serialized(body, parser)
    splices: list[Splice] = []
    if reply.get("error") and reply.get("error_type") == "not implemented":
        # DuckDB serialises a PIVOT only when it says its values: so it is given some, for the tree alone.
        splices = _pivot_splices(words)
        reply = _serialized(Splice.apply(body, splices), parser)
    if reply.get("error"):
        message = str(reply.get("error_message", "The statement cannot be parsed"))
        if reply.get("error_type") == "not implemented":
            raise StatementRefused("This form of statement", f"{message} What runs here is {_ALLOWED}.")
        position = reply.get("position")
        written = Text(Splice.apply(body, splices))
        place = Text(body).place(Splice.origin(written.character(int(position)), splices)) if position else (0, 0)
        raise SqlSyntaxError(_sentence(message), *place)
    if splices:
        _move(reply, Text(Splice.apply(body, splices)), Text(body), splices)
    return reply["statements"][0]["node"], bool(splices)


def _blank(text: str) -> str:
    """As long, and with the same lines."""
    return _NO_BREAK.sub(" ", text)


def _serialized(body: str, parser: DuckDBPyConnection) -> dict[str, Any]:
    row = parser.execute("select json_serialize_sql(?)", [body]).fetchall()[0]
    try:
        reply: dict[str, Any] = json.loads(row[0])
    except RecursionError:
        raise SqlSyntaxError("The statement nests too deeply") from None
    return reply


def _pivot_splices(words: Sequence[Token]) -> list[Splice]:
    """` IN ('')` to each expression of each `PIVOT … ON a, b` that has no IN."""
    splices: list[Splice] = []
    for at, word in enumerate(words):
        if word.upper not in ("PIVOT", "PIVOT_WIDER"):
            continue
        depth, on, start, has_in = 0, False, 0, False
        for number in range(at + 1, len(words) + 1):
            here = words[number] if number < len(words) else None
            closes = here is None or (here.text in (")", ";") and depth == 0)
            if here is not None and not closes:
                depth += (here.text in ("(", "[", "{")) - (here.text in (")", "]", "}"))
            if not on:
                if closes:
                    break
                if here is not None and depth == 0 and here.upper == "ON":
                    on, start = True, number
                continue
            ends = closes or (
                here is not None and depth == 0 and here.upper in ("USING", "GROUP", "ORDER", "LIMIT", "OFFSET")
            )
            if (ends or (here is not None and depth == 0 and here.text == ",")) and number > start + 1:
                if not has_in:
                    place = words[number - 1].end
                    first = words[start + 1].start
                    splices += [Splice(first, first, "("), Splice(place, place, ") IN ('')")]
                start, has_in = number, False
            elif here is not None and depth == 0 and here.upper == "IN":
                has_in = True
                if number + 2 < len(words) and words[number + 2].upper in ("SELECT", "FROM", "WITH"):
                    raise StatementRefused("PIVOT … IN (SELECT …)", "write the values, or leave IN out")
            if ends:
                break
    return splices


def _move(tree: Any, new: Text, old: Text, splices: Sequence[Splice]) -> None:
    """Turns the places of a tree of the spliced text into those of the text as written."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            place = node.get("query_location")
            if isinstance(place, int) and place < 1 << 40:
                character = Splice.origin(new.character(place), splices)
                node["query_location"] = len(old.text[:character].encode("utf-8", "surrogatepass"))
            waiting.extend(node.values())
