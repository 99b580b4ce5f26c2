"""Spouts and bolts that can be imported, for topologies that are saved and read again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench.streams import Bolt, IteratorSpout, bolt, spout


class Words(IteratorSpout):
    outputs = ("word",)

    def __init__(self, *words: str, times: int = 1) -> None:
        self.words, self.times = words, times

    def rows(self) -> Iterator[Any]:
        for _ in range(self.times):
            yield from self.words


class Keep(Bolt):
    """Keeps what it gets in a list that the test has."""

    kept: dict[str, list[Any]] = {}

    def __init__(self, name: str) -> None:
        self.name = name

    def execute(self, tuple: Any) -> None:  # noqa: A002
        self.kept.setdefault(self.name, []).append(tuple)


@spout("number")
def numbers() -> Iterator[int]:
    yield from range(10)


@bolt("word", "length")
def measured(tuple: Any) -> Any:  # noqa: A002
    return (tuple.word, len(tuple.word))


def short(tuple: Any) -> Any:  # noqa: A002
    return [tuple.word] if len(tuple.word) < 4 else []


def last_task(row: tuple[Any, ...], tasks: Any) -> list[int]:
    return [tasks[-1]]


def giving(*values: Any, fields: tuple[str, ...] = ("page", "n"), **options: Any) -> Any:
    def give() -> Iterator[Any]:
        yield from values

    return spout(*fields, **options)(give)
