"""Arrays, maps and structs as what they are: in tables of which a connection says so, read from files, for what
HiveServer2 prints of them can be read back of some types only (`workbench_hive.printed`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from workbench.contract.errors import Unsupported
from workbench_hive.catalog import Known
from workbench_hive.layouts import PLAIN
from workbench_hive.types import HiveType

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["fits", "leaves", "refused", "with_values"]

_DEEPEST = 30
_UNSAFE = '`"\\<>:,() '


def with_values(known: Known) -> Known:
    """The same table, its nested columns as values. Raises Unsupported for one that has no such type."""
    return dataclasses.replace(known, types={name: _valued(name, kind) for name, kind in known.types.items()})


def refused(table: str, columns: Mapping[str, HiveType], why: str) -> Unsupported:
    """For what is not read from files."""
    names = ", ".join(f"`{name}`" for name, kind in columns.items() if kind.inner)
    hint = f"It is {why}. Leave them out, or leave `nested` out of the table's parameters, and they are text."
    return Unsupported("The Hive connector", f"read {names} of `{table}` as values", hint)


def fits(one: pa.DataType, other: pa.DataType, leaf: Callable[[pa.DataType, pa.DataType], bool]) -> bool:
    """Whether each value of the one type is just one of the other, as `leaf` says of what is not nested: fields of
    structs are found by their names, and one that the file does not have is NULL."""
    import pyarrow.types as types

    if types.is_list(other):
        return (types.is_list(one) or types.is_large_list(one)) and fits(one.value_type, other.value_type, leaf)
    if types.is_map(other):
        both = ("key_type", "item_type")
        return types.is_map(one) and all(fits(getattr(one, part), getattr(other, part), leaf) for part in both)
    if types.is_struct(other):
        if not types.is_struct(one):
            return False
        there = {field.name: field.type for field in one}
        if {name.lower() for name in there} & {field.name for field in other} != there.keys() & {f.name for f in other}:
            return False  # a name with capitals
        return len(there) == one.num_fields and all(
            fits(there[field.name], field.type, leaf) for field in other if field.name in there
        )
    return one == other or leaf(one, other)


def leaves(column: pa.Array) -> Iterator[pa.Array]:
    """The values that are not nested, as columns of their own; those within NULLs may be among them."""
    import pyarrow.types as types

    waiting = [column]
    while waiting:
        one = waiting.pop()
        if types.is_map(one.type):
            waiting += [one.keys, one.items]
        elif types.is_list(one.type):
            waiting.append(one.values)
        elif types.is_struct(one.type):
            waiting += one.flatten()
        else:
            yield one


# --- inside


def _valued(name: str, kind: HiveType) -> HiveType:
    if not kind.nested:
        return kind
    try:
        found, rest = _parsed(kind.spelled.replace(" ", "").lower(), 0)
        if rest:
            raise ValueError(f"{rest[:40]!r} follows it")
    except ValueError as error:
        told = f"read `{name}`, {kind.spelled[:80]}, as values: {error}"
        raise Unsupported("The Hive connector", told, "Leave `nested` out of the table's parameters.") from None
    return dataclasses.replace(found, spelled=kind.spelled, partition=kind.partition)


def _parsed(text: str, depth: int) -> tuple[HiveType, str]:
    """A type at the beginning of the text, and what follows it. Raises ValueError."""
    if depth > _DEEPEST:
        raise ValueError(f"it is nested deeper than {_DEEPEST}")
    end = next((at for at, letter in enumerate(text) if letter in "<>,("), len(text))
    name, rest = text[:end], text[end:]
    if rest.startswith("("):
        closing = rest.find(")") + 1
        name, rest = name + rest[:closing], rest[closing:]
    if not rest.startswith("<"):
        kind = HiveType.of_name(name)
        if kind.name not in PLAIN:
            raise ValueError(f"{name[:40] or 'nothing'} is inside")
        return kind, rest
    inner: list[tuple[str, HiveType]] = []
    while not rest.startswith(">"):
        rest, field = rest[1:], ""
        if name == "struct":
            field, colon, rest = rest.partition(":")
            if not colon or not field or any(letter in _UNSAFE for letter in field):
                raise ValueError("its fields have no plain names")
        kind, rest = _parsed(rest, depth + 1)
        inner.append((field, kind))
        if not rest.startswith((",", ">")):
            raise ValueError("it has no end")
    if name == "struct" and len({field for field, _ in inner}) < len(inner):
        raise ValueError("it has two fields of one name")
    if len(inner) != {"array": 1, "map": 2}.get(name, len(inner)) or name not in ("array", "map", "struct"):
        raise ValueError(f"there is no such {name[:40]}")
    return HiveType(name, inner=tuple(inner)), rest[1:]
