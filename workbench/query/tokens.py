"""A small tokenizer of DuckDB's SQL: enough to find names, prefixes and nesting; the parsing itself is DuckDB's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

__all__ = ["Splice", "Text", "Token", "tokens"]

KEPT_LENGTH = 4_096

_PLAIN = re.compile(
    r"(?P<skip>(?:\s+|--[^\n]*)+)"
    r"|(?P<word>(?![eE]')(?:[^\W\d]|[^\x00-\x7f\s])(?:[\w$]|[^\x00-\x7f\s])*)"
    r"|(?P<number>\d[\w.]*)"
    r"|(?P<sign>[][(),.;=<>+*%!?:{}|&~^@#])"
)
"""What its first characters decide."""
_PARAMETER = re.compile(r"\$(?:[^\W\d]\w*|\d+)")
_DOLLAR = re.compile(r"\$(?:[^\W\d]\w*)?\$")


class Token(NamedTuple):
    """`kind` is `word`, `quoted` (an identifier in double quotes), `string`, `number`, `parameter` or `sign`;
    `text` is as written, `start` and `end` count characters."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """The word in capitals; nothing for every other kind, so that no quoted name is taken for a keyword."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """The identifier that this token writes."""
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text


def tokens(text: str) -> Sequence[Token]:
    """All tokens, comments and blanks left out. Never raises: what is not closed reaches to the end."""
    return _kept(text) if len(text) <= KEPT_LENGTH else tuple(_scan(text))


@lru_cache(maxsize=16)
def _kept(text: str) -> Sequence[Token]:
    """A statement is looked through more than once on its way."""
    return tuple(_scan(text))


def _scan(text: str) -> Iterator[Token]:
    at, size = 0, len(text)
    while at < size:
        if found := _PLAIN.match(text, at):
            kind = found.lastgroup
            if kind != "skip":
                assert kind is not None
                yield Token(kind, found[0], at, found.end())
            at = found.end()
        elif text.startswith("/*", at):
            at = _comment_end(text, at)
        else:
            kind, end = _token(text, at)
            yield Token(kind, text[at:end], at, end)
            at = end


def _token(text: str, at: int) -> tuple[str, int]:
    sign = text[at]
    if sign == "'":
        return "string", _quote_end(text, at, "'")
    if sign in "eE" and text.startswith("'", at + 1):
        return "string", _quote_end(text, at + 1, "'", escapes=True)
    if sign == '"':
        return "quoted", _quote_end(text, at, '"')
    if sign == "$":
        if tag := _DOLLAR.match(text, at):
            closing = text.find(tag[0], tag.end())
            return "string", len(text) if closing < 0 else closing + len(tag[0])
        if name := _PARAMETER.match(text, at):
            return "parameter", name.end()
        return "sign", at + 1
    return "sign", at + 1


def _quote_end(text: str, at: int, quote: str, *, escapes: bool = False) -> int:
    at += 1
    while at < len(text):
        if escapes and text[at] == "\\":
            at += 2
        elif text[at] == quote:
            if not text.startswith(quote, at + 1):
                return at + 1
            at += 2
        else:
            at += 1
    return len(text)


def _comment_end(text: str, at: int) -> int:
    """Block comments nest in DuckDB."""
    depth = 0
    while at < len(text):
        if text.startswith("/*", at):
            depth, at = depth + 1, at + 2
        elif text.startswith("*/", at):
            depth, at = depth - 1, at + 2
            if depth == 0:
                return at
        else:
            at += 1
    return len(text)


class Text:
    """A text with the three ways to name a place in it: DuckDB's (bytes), Python's (characters), a person's (line
    and column, both from 1)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._bytes: Sequence[int] | None = None
        if not text.isascii():
            self._bytes = [0, *accumulate(len(sign.encode("utf-8", "surrogatepass")) for sign in text)]

    def character(self, byte: int) -> int:
        """The character at that byte, of a text that is at least as long."""
        if self._bytes is None:
            return min(byte, len(self.text))
        import bisect

        return min(bisect.bisect_right(self._bytes, byte) - 1, len(self.text))

    def place(self, character: int) -> tuple[int, int]:
        before = self.text[:character]
        return before.count("\n") + 1, character - (before.rfind("\n") + 1) + 1


@dataclass(frozen=True, slots=True)
class Splice:
    """Characters `start` to `end` of a text are to become `new`."""

    start: int
    end: int
    new: str

    @staticmethod
    def apply(text: str, splices: Sequence[Splice]) -> str:
        """Splices do not overlap; their order does not matter."""
        parts, at = [], 0
        for splice in sorted(splices, key=lambda s: (s.start, s.end)):
            parts += [text[at : splice.start], splice.new]
            at = splice.end
        return "".join([*parts, text[at:]])

    @staticmethod
    def origin(position: int, splices: Sequence[Splice]) -> int:
        """The character of the old text that a character of the new one came from."""
        shift = 0
        for splice in sorted(splices, key=lambda s: (s.start, s.end)):
            if position < splice.start + shift:
                break
            if position < splice.start + shift + len(splice.new):
                return splice.start
            shift += len(splice.new) - (splice.end - splice.start)
        return position - shift
