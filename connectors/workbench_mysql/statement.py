"""Which statements `wb.native` takes on a read-only connection.

A read-only transaction stops writing to tables, but not `INTO OUTFILE`, not locks, and not a second statement that
sets the session free. So one statement passes, of a kind that reads, looked at with the server's own rules for
quotes and comments (the session's SQL mode is ours, so they are known). Functions that read the server's files, take
locks or rearrange replication are refused by name: they read too, as far as the server is concerned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from workbench.contract.errors import StatementRefused, near

__all__ = ["READING", "reading", "single", "verb"]

READING = ("SELECT", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "WITH", "TABLE", "VALUES")
_KINDS = "SELECT, SHOW, DESCRIBE, EXPLAIN, WITH, TABLE and VALUES"
_OTHERS = """
    ALTER ANALYZE BACKUP BEGIN BINLOG CACHE CALL CHANGE CHECK CHECKSUM CLONE COMMIT CREATE DEALLOCATE DELETE DO DROP
    EXECUTE FLUSH GRANT HANDLER IMPORT INSERT INSTALL KILL LOAD LOCK OPTIMIZE PREPARE PURGE RELEASE RENAME REPAIR
    REPLACE RESET REVOKE ROLLBACK SAVEPOINT SET SHUTDOWN SIGNAL START STOP TRUNCATE UNINSTALL UNLOCK UPDATE USE XA
"""
_WRITING = frozenset(_OTHERS.split())
_CHANGING = frozenset({"UPDATE", "DELETE", "INSERT", "REPLACE"})
_TOKEN = re.compile(
    r"""(?P<blank>[\s\x00-\x1f]+)
      | (?P<line>\#[^\n]*|--(?=[\s\x00-\x1f]|$)[^\n]*)
      | (?P<block>/\*.*?\*/)
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`)
      | (?P<word>[A-Za-z0-9_$\u0080-\U0010ffff]+)
      | (?P<open>/\*|['"`])
      | (?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)
_NUMBER = re.compile(r"[0-9]+(E[0-9]+)?(?=.)", re.ASCII)
"""`1.5INTO` is a number and a word to the server."""
_LOCKS = "it takes or gives back locks, which outlive the statement"
_REPLICATION = "it changes who replicates from whom"
_REFUSED = {
    "LOAD_FILE": "it reads a file of the server",
    **dict.fromkeys(("GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS"), _LOCKS),
    **dict.fromkeys(("SERVICE_GET_READ_LOCKS", "SERVICE_GET_WRITE_LOCKS", "SERVICE_RELEASE_LOCKS"), _LOCKS),
}
_REFUSED_BEGINNINGS = ("GROUP_REPLICATION_", "ASYNCHRONOUS_CONNECTION_FAILOVER_")


class _Token(NamedTuple):
    kind: str
    text: str
    depth: int


def single(text: str) -> str:
    """The statement without a semicolon at its end. Raises StatementRefused for none, for more than one, for comments
    that are executed, and for what does not end."""
    tokens = list(_tokens(text))
    if not tokens:
        raise StatementRefused("An empty statement", "there is nothing to run")
    for place, token in enumerate(tokens):
        if token.text == ";":
            if place != len(tokens) - 1:
                raise StatementRefused("A second statement", "one statement is run at a time")
            at = text.rindex(";")
            return text[:at].rstrip() + " " if "--" in text[at:] or "#" in text[at:] else text[:at].rstrip()
    return text


def verb(text: str) -> str:
    """The first word, parentheses left out, in capitals."""
    return next((token.text.upper() for token in _tokens(text) if token.text != "("), "")


def reading(text: str) -> str:
    """As `single`, and the statement only reads. Raises StatementRefused."""
    statement = single(text)
    every = list(_tokens(statement))
    _check_functions(every)
    tokens = [token for token in every if token.kind != "string"]
    words = [_NUMBER.sub("", token.text.upper(), 1) if token.kind == "word" else token.text for token in tokens]
    first = next((word for word in words if word != "("), "")
    if first not in READING:
        if first in _WRITING:
            raise StatementRefused(
                f"`{first}`", f"the connection is read-only, which takes {_KINDS}. Connect with writable=True"
            )
        close = near(first, READING)
        did = f" Did you mean {close[0]}?" if close else ""
        raise StatementRefused(f"`{first or 'this'}`", f"it begins none of {_KINDS}, which are run here.{did}")
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        if word == "INTO":
            raise StatementRefused("`INTO`", "it writes a file or a variable; quote it as `into` where it is a name")
        if (word == "FOR" and after in ("UPDATE", "SHARE")) or (word == "LOCK" and after == "IN"):
            raise StatementRefused("A locking read", "the connection is read-only")
        executed = first == "WITH" or "ANALYZE" in words
        if executed and word in _CHANGING and tokens[place].depth == 0 and after != "(":
            raise StatementRefused(f"`{word}`", "the connection is read-only. Connect with writable=True")
    return statement


def _check_functions(tokens: list[_Token]) -> None:
    """Calls of what is refused. A name in backticks that is called is a call, too; after a point it is a function that
    somebody made."""
    for before, token, after in zip([None, *tokens], tokens, tokens[1:], strict=False):
        if after.text != "(" or token.kind not in ("word", "string") or token.text[0] in "'\"":
            continue
        name = token.text.strip("`").upper()
        if before is not None and before.text == ".":
            continue
        why = _REFUSED.get(name) or (_REPLICATION if name.startswith(_REFUSED_BEGINNINGS) else "")
        if why:
            told = f"{why}. Connect with writable=True if it has to be"
            raise StatementRefused(f"The function `{name.lower()}`", told)


def _tokens(text: str) -> Iterator[_Token]:
    """Words, marks and quoted strings, comments left out."""
    if "\x00" in text:
        raise StatementRefused("A NUL character", "the server would not read beyond it")
    depth = 0
    for found in _TOKEN.finditer(text):
        kind, part = str(found.lastgroup), found.group()
        if kind == "open":
            what = "comment" if part == "/*" else "quote"
            raise StatementRefused(f"A {what} that does not end", "close it")
        if kind == "block":
            _check_comment(part)
        elif kind in ("word", "string", "mark"):
            if part == ")":
                depth -= 1
            yield _Token(kind, part, depth)
            if part == "(":
                depth += 1


def _check_comment(comment: str) -> None:
    head = comment[2:4].upper()
    if head.startswith("!") or head == "M!":
        raise StatementRefused("A comment that the server executes (`/*!`)", "write the statement itself")
    if head.startswith("+") and re.search(r"SET_VAR|MAX_EXECUTION_TIME", comment, re.IGNORECASE):
        raise StatementRefused("A hint that changes the session's settings", "leave it out")
