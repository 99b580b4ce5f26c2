"""Parse trees of statements that differ only in their whole numbers, so that the same question about another row is
parsed once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from workbench.query.statement import Form, Kind, Statement
from workbench.query.tokens import Token, tokens

__all__ = ["Templates"]

KEPT = 256
LONGEST = 4_096
"""Characters of the longest statement that is kept."""
_DIGITS = 9
"""Longer numbers may be of another type than shorter ones."""
_DEEPEST = 100
"""Constants further down are not looked for, which takes a step of recursion each."""
_Path = tuple[str | int, ...]


class Templates:
    """The statements met last. Thread-safe; trees are shared, and never changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Statement, tuple[_Path, ...]]] = OrderedDict()

    def find(self, text: str) -> Statement | None:
        """What parsing the text would give, from a text that has other numbers of as many digits."""
        if len(text) > LONGEST or "\0" in text:
            return None
        numbers = _numbers(text)
        key = _masked(text, numbers)
        with self._lock:
            held = self._kept.get(key)
            if held is None:
                return None
            self._kept.move_to_end(key)
        statement, places = held
        if statement.text == text:
            return statement
        tree = statement.tree
        for token, place in zip(numbers, places, strict=True):
            tree = _put(tree, place, token.text)
        return replace(statement, text=text, body=text[: len(statement.body)], tree=tree)

    def keep(self, statement: Statement) -> Statement:
        """The statement, with a form if each of its numbers is one constant of the tree, so that another number would
        change only that."""
        text = statement.text
        if statement.kind is not Kind.QUERY or statement.pivots or len(text) > LONGEST or not text.isascii():
            return statement
        numbers = _numbers(text)
        found = _constants(statement.tree)
        places = [found.get((token.start, token.text), []) for token in numbers]
        if any(len(place) != 1 or len(place[0]) > _DEEPEST for place in places):
            return statement
        formed = replace(statement, form=Form())
        with self._lock:
            self._kept[_masked(text, numbers)] = formed, tuple(place[0] for place in places)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return formed


def _numbers(text: str) -> list[Token]:
    return [
        token
        for token in tokens(text)
        if token.kind == "number" and token.text.isdigit() and len(token.text) <= _DIGITS and token.text[0] != "0"
    ]


def _masked(text: str, numbers: Sequence[Token]) -> str:
    """The text with NULs for the digits, which no statement holds."""
    parts, at = [], 0
    for token in numbers:
        parts += [text[at : token.start], "\0" * len(token.text)]
        at = token.end
    return "".join([*parts, text[at:]])


def _constants(tree: Any) -> dict[tuple[int, str], list[_Path]]:
    """Where the whole numbers of a tree are, by their place in the text and what they say."""
    found: dict[tuple[int, str], list[_Path]] = {}
    waiting: list[tuple[Any, _Path]] = [(tree, ())]
    while waiting:
        node, path = waiting.pop()
        if isinstance(node, list):
            waiting += [(item, (*path, number)) for number, item in enumerate(node)]
        elif isinstance(node, dict):
            literal = node.get("literal")
            if node.get("class") == "CONSTANT" and isinstance(literal, dict) and literal.get("kind") == "INTEGER":
                place = (int(node.get("query_location", -1)), str(literal.get("text")))
                found.setdefault(place, []).append((*path, "literal", "text"))
            else:
                waiting += [(value, (*path, key)) for key, value in node.items() if isinstance(value, (dict, list))]
    return found


def _put(tree: Any, place: _Path, value: str) -> Any:
    """The tree with another value at the place; what is beside the way there is shared."""
    if not place:
        return value
    copy = tree.copy()
    copy[place[0]] = _put(tree[place[0]], place[1:], value)
    return copy
