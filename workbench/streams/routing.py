"""Groupings as functions: a row in, places of tasks out. Plain code; chance is passed in.

The standard library only: it travels to Storm's workers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from random import Random
from sys import getsizeof
from typing import Any

from workbench.contract.errors import EmitRefused, InvalidParameter
from workbench.streams.groupings import Grouping
from workbench.streams.javahash import JavaRandom, deep_hash
from workbench.streams.tuples import shown

__all__ = ["KeyRoom", "KeyedPlaces", "Many", "One", "key_refused", "many", "one"]

KEPT_KEYS, KEPT_BYTES, LONGEST = 65_536, 16 << 20, 64 << 10
"""Keys whose task is remembered, for a hash in Python costs a hundred times as much as looking it up; bytes of all of
them; and of one: a longer one is not remembered."""

Row = tuple[Any, ...]
One = Callable[[Row], int]
Many = Callable[[Row], Sequence[int]]


class KeyRoom:
    """Bounds what is remembered by keys in some dicts: all of it goes when there is no room for one more."""

    __slots__ = ("_bytes", "_keys", "_of")

    def __init__(self, *of: dict[Any, Any]) -> None:
        self._of, self._keys, self._bytes = of, 0, 0

    def takes(self, key: str) -> bool:
        """Whether a new key is to be remembered."""
        size = getsizeof(key)
        if size > LONGEST:
            return False
        if self._keys >= KEPT_KEYS or self._bytes + size > KEPT_BYTES:
            self._keys = self._bytes = 0
            for remembered in self._of:
                remembered.clear()
        self._keys += 1
        self._bytes += size
        return True


class KeyedPlaces(dict[Any, int]):
    """The place of each text that was a key, found anew when it is not there. Other types are not remembered: 1, 1.0
    and True are one key of a dict, and three in Java."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self._tasks, self._room = tasks, KeyRoom(self)

    def __missing__(self, key: object) -> int:
        place = deep_hash((key,)) % self._tasks
        if type(key) is str and self._room.takes(key):
            self[key] = place
        return place


def one(grouping: Grouping, fields: Sequence[str], tasks: int, random: Random) -> One | None:
    """Gives the place, from 0 on, of the task that a row goes to; None where it may be several."""
    if grouping.kind in ("all", "custom", "direct"):
        return None
    if tasks == 1 or grouping.kind == "global":
        return _first
    if grouping.kind == "fields":
        return _by_fields(grouping, fields, tasks)
    if grouping.kind == "partial_key":
        return _by_partial_key(grouping, fields, tasks)
    if grouping.kind == "none":
        return lambda row: random.randrange(tasks)
    places = itertools.cycle(random.sample(range(tasks), tasks))
    return lambda row: next(places)


def many(grouping: Grouping, ids: Sequence[int], component: str) -> Many:
    """Gives the places of all tasks that a row goes to, where that may be several."""
    if grouping.kind == "all":
        everywhere = tuple(range(len(ids)))
        return lambda row: everywhere
    choose = grouping.choose
    assert choose is not None
    known = tuple(ids)

    def chosen(row: Row) -> Sequence[int]:
        found = choose(row, known)
        try:
            return [known.index(task) for task in found]
        except (TypeError, ValueError):
            raise EmitRefused(
                component, f"its custom grouping chose {found!r}; it gives a list of ids out of {list(known)}."
            ) from None

    return chosen


def key_refused(component: str, consumer: str, names: Sequence[str], fields: Sequence[str], row: Row) -> EmitRefused:
    """What is said of a row by whose key no task can be found."""
    why = "has no hash"
    for name in names:
        value = row[list(fields).index(name)]
        try:
            deep_hash((value,))
        except InvalidParameter as error:
            why = f"is {shown(value, 200)}. As a key it {error.why}"
            break
    return EmitRefused(component, f"field `{name}`, by which `{consumer}` takes it, {why}")


def _first(row: Row) -> int:
    return 0


def _key_places(grouping: Grouping, fields: Sequence[str]) -> list[int]:
    return [list(fields).index(name) for name in grouping.fields]


def _by_fields(grouping: Grouping, fields: Sequence[str], tasks: int) -> One:
    places = _key_places(grouping, fields)
    if len(places) > 1:
        return lambda row: deep_hash([row[place] for place in places]) % tasks
    (place,) = places
    known = KeyedPlaces(tasks)

    def of_text(row: Row) -> int:
        try:
            return known[row[place]]
        except TypeError:  # a list is no key of a dict
            return deep_hash((row[place],)) % tasks

    return of_text


def _by_partial_key(grouping: Grouping, fields: Sequence[str], tasks: int) -> One:
    places, load = _key_places(grouping, fields), [0] * tasks

    def less_loaded(row: Row) -> int:
        two = two_choices([row[place] for place in places], tasks)
        place = two[0] if load[two[0]] <= load[two[1]] else two[1]
        load[place] += 1
        return place

    return less_loaded


def two_choices(key: Sequence[object], tasks: int) -> tuple[int, int]:
    """The two tasks that Storm has for a key: Java's random numbers, seeded by the key's hashes as bytes."""
    hashes = b"".join(
        # A list's hash is taken as that of its array, so bytes in it count, too.
        (deep_hash(value) if isinstance(value, list | tuple) else _own_hash(value)).to_bytes(4, "big", signed=True)
        for value in key
    )
    random = JavaRandom(_hash_of_bytes(hashes))
    first, second = random.next_int(tasks), random.next_int(tasks)
    return first, (second + 1) % tasks if first == second else second


def _own_hash(value: object) -> int:
    # deep_hash of one value is 31 + its hash.
    bits = (deep_hash((value,)) - 31) & 0xFFFFFFFF
    return bits - (1 << 32) if bits & 0x80000000 else bits


def _hash_of_bytes(data: bytes) -> int:
    return _own_hash(data)
