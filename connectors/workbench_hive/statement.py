"""Which statements `wb.native` takes: one, which reads, and calls nothing that reaches beyond the warehouse.

HiveServer2 takes commands beside HiveQL (`add jar`, `dfs`, `set`, `compile`, …), runs programs (`TRANSFORM … USING`),
calls any method of Java (`reflect`), and replaces `${…}` by its own variables, environment and properties before it
reads a statement. Nothing of that passes, whether the connection may write or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from workbench.contract.errors import StatementRefused, near

__all__ = ["reading", "verb"]

_KINDS = ("SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN")
_SAID = "SELECT, WITH, SHOW, DESCRIBE and EXPLAIN"
_OTHERS = """
    ABORT ADD ALTER ANALYZE COMMIT COMPILE CREATE CRYPTO DELETE DFS DROP ERASURE EXECUTE EXPORT FROM GRANT IMPORT INSERT
    KILL LIST LLAP LOAD LOCK MAP MERGE MSCK OPTIMIZE PREPARE PROCESSLIST REDUCE REFRESH RELOAD REPL REPLACE RESET
    RESTRICT REVOKE ROLLBACK SET START SWITCH TRUNCATE UNLOCK UPDATE USE VALUES
"""
_OF_EXPLAIN = """
    ANALYZE AST AUTHORIZATION CBO COST DDL DEBUG DEPENDENCY DETAIL EXPRESSION EXTENDED FORMATTED JOINCOST LOCKS LOGICAL
    ONLY OPERATOR REOPTIMIZATION SUMMARY VECTORIZATION VECTORIZED
"""
_OPTIONS = frozenset(_OF_EXPLAIN.split())
_RUNNING = frozenset({"ANALYZE", "REOPTIMIZATION"})
_KNOWN = frozenset(_OTHERS.split())
_WRITING = frozenset({"INSERT", "MERGE", "OVERWRITE", "TRANSFORM", "REDUCE"})
_FUNCTIONS = {
    **dict.fromkeys(("REFLECT", "REFLECT2", "JAVA_METHOD"), "it calls methods of the server's programs"),
    **dict.fromkeys(("GET_SPLITS", "GET_LLAP_SPLITS", "LLAP_SPLITS", "EXECUTE_SPLITS"), "it hands out rows elsewhere"),
    "IN_FILE": "it reads a file of the server",
}
_TOKEN = re.compile(
    r"""(?P<blank>\s+)
      | (?P<line>--[^\n\r]*)
      | (?P<block>/\*.*?\*/)
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<name>`(?:[^`]|``)*`)
      | (?P<word>[A-Za-z0-9_\u0080-\U0010ffff]+)
      | (?P<open>/\*|['"`])
      | (?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def verb(text: str) -> str:
    """The first word, parentheses left out, in capitals."""
    return next((token.text.upper() for token in _tokens(text) if token.text != "("), "")


def reading(text: str) -> str:
    """The statement without a semicolon at its end. Raises StatementRefused where it is not one that reads."""
    tokens = list(_tokens(text))
    if not tokens:
        raise StatementRefused("An empty statement", "there is nothing to run")
    if tokens[-1].text == ";":
        last = tokens.pop()
        text = text[: last.at].rstrip()
    if any(token.text == ";" for token in tokens):
        raise StatementRefused("A second statement", "one statement is run at a time")
    _check_kind(tokens)
    _check_words(tokens)
    return text


def _explained(tokens: list[_Token]) -> list[_Token]:
    """What EXPLAIN explains, its options left out. Some of them, wherever they stand, run the statement."""
    rest = tokens
    while rest and rest[0].text.upper() in _OPTIONS:
        if rest[0].text.upper() in _RUNNING:
            raise StatementRefused(f"`EXPLAIN {rest[0].text.upper()}`", "it runs the statement; leave that word out")
        rest = rest[1:]
    return rest


def _check_kind(tokens: list[_Token]) -> None:
    first = next((token.text.upper() for token in tokens if token.text != "("), "")
    if first == "EXPLAIN":
        _check_kind(_explained(tokens[1:]))
        return
    if first in _KINDS:
        return
    if first in _KNOWN or first == "!":
        raise StatementRefused(f"`{first}`", f"the connection only reads, which takes {_SAID}")
    close = near(first, _KINDS)
    did = f" Did you mean {close[0]}?" if close else ""
    raise StatementRefused(f"`{first[:40] or 'this'}`", f"it begins none of {_SAID}, which are run here.{did}")


def _check_words(tokens: list[_Token]) -> None:
    for place, token in enumerate(tokens):
        after = tokens[place + 1].text if place + 1 < len(tokens) else ""
        word = token.text.strip("`").upper()
        if token.kind == "word" and word in _WRITING:
            raise StatementRefused(f"`{word}`", "it writes or runs a program; quote it as `…` where it is a name")
        if token.kind == "word" and word == "USING" and tokens[place + 1 : place + 2] and after[0] in "'\"":
            raise StatementRefused("`USING` with a program", "it runs a program at the server")
        if token.kind in ("word", "name") and after == "(" and word in _FUNCTIONS:
            raise StatementRefused(f"The function `{word.lower()}`", f"{_FUNCTIONS[word]}. It is never run from here")


def _tokens(text: str) -> Iterator[_Token]:
    """Words, marks and quoted parts, comments left out."""
    if "\x00" in text:
        raise StatementRefused("A NUL character", "the server would not read beyond it")
    if "${" in text:
        raise StatementRefused("`${`", "the server would put a variable there, of its environment too; write the value")
    for found in _TOKEN.finditer(text):
        kind, part = str(found.lastgroup), found.group()
        if kind == "block" and "/*" in part[2:]:
            raise StatementRefused("A comment in a comment", "the server ends the outer one elsewhere; leave one out")
        if kind == "string" and part[0] == '"' and "\\" in part:
            raise StatementRefused(
                'A backslash between `"`', "some servers take that for a name, and end it elsewhere; quote with `'`"
            )
        if kind == "open":
            what = "comment" if part == "/*" else "quote"
            raise StatementRefused(f"A {what} that does not end", "close it")
        if kind in ("word", "name", "string", "mark"):
            yield _Token(kind, part, found.start())
