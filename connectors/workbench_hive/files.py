"""The other route: a table's files, read beside HiveServer2. Only where the connection says so, for it passes by what
the warehouse masks and forbids, and only for tables whose files say all that the server would say of them."""

from __future__ import annotations

import dataclasses
import os
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.contract.errors import SourceError
from workbench.contract.predicate import Applied, Compare, Predicate, columns_of
from workbench.contract.scan import ScanPlan, ScanRequest, Split
from workbench_hive.catalog import Known, counted
from workbench_hive.layouts import PLAIN, Layout, Refusal, layout_of
from workbench_hive.metastore import Metastore, Stored
from workbench_hive.predicates import NULL_PARTITION
from workbench_hive.splits import kept, values_of
from workbench_hive.types import HiveType
from workbench_hive.webhdfs import About, WebHdfs

__all__ = ["File", "listed", "plan_files"]

_PART_BYTES = 16 << 20
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
"""Values that are written in names of partitions as they are, and are no pattern there."""
_HIDDEN = ("_", ".")
_PACKED = (".gz", ".bz2", ".deflate", ".snappy", ".lz4", ".lzo", ".zst", ".passthrough")
"""Endings by which the server knows packed text."""


@dataclass(frozen=True)
class File:
    """`identity` is of a file at WebHDFS, and 0 of one of this machine."""

    path: str
    size: int
    changed: int
    layout: Layout
    values: tuple[str, ...] = ()
    identity: int = 0


def listed(
    stored: Stored,
    types: Mapping[str, HiveType],
    used: Sequence[str],
    predicates: Sequence[Predicate],
    hdfs: WebHdfs | None = None,
) -> tuple[list[File], int, int]:
    """The files that may have rows, how many partitions those are, and of how many. Raises Refusal."""
    if stored.kind not in ("MANAGED_TABLE", "EXTERNAL_TABLE"):
        raise Refusal(f"it is a {stored.kind.lower().replace('_', ' ')}")
    if stored.parameters.get("transactional", "").lower() == "true":
        raise Refusal("it is transactional: its files are not its rows")
    for name in used:
        kind = types[name]
        if kind.name not in PLAIN and not kind.inner:
            raise Refusal(f"`{name}` is {kind.spelled}, which the server reads in its own way")
        if name in stored.keys:
            _check_partitions(name, stored, kind)
    rows = [dict(zip(stored.keys, place.values, strict=True)) for place in stored.places]
    keys = {name: types[name] for name in stored.keys}
    wanted = kept(rows, keys, predicates) if stored.keys else rows
    chosen = {id(row) for row in wanted}
    inside = {name: kind for name, kind in types.items() if name not in keys}
    read = [name for name in used if name in inside]
    files: list[File] = []
    for row, place in zip(rows, stored.places, strict=True):
        if id(row) in chosen:
            layout = layout_of(place, stored.parameters, inside, read)
            files += _folder(place.location, place.values, layout, hdfs)
    return files, len(wanted), len(rows)


def _check_partitions(name: str, stored: Stored, kind: HiveType) -> None:
    """The server reads some names of folders that are not the way in which it writes them."""
    value, number = values_of(kind), stored.keys.index(name)
    if value is None:
        raise Refusal(f"its partitions are by {kind.spelled}")
    for place in stored.places:
        text = place.values[number]
        if text != NULL_PARTITION and value(text) is None:
            raise Refusal(f"{text[:40]!r} is a partition by {kind.spelled}")


def _folder(location: str, values: tuple[str, ...], layout: Layout, hdfs: WebHdfs | None) -> Iterator[File]:
    try:
        found = _remote(location, hdfs) if location.startswith("hdfs://") else _local(location)
    except OSError as error:
        raise Refusal(f"its files cannot be read here ({(error.strerror or str(error)).lower()})") from None
    for one in found:
        if one.name.startswith(_HIDDEN):
            continue
        if one.folder:
            raise Refusal("its folders have folders inside")
        if layout.format == "text" and one.name.lower().endswith(_PACKED):
            raise Refusal("its files are packed")
        if one.size:
            yield File(one.path, one.size, one.changed, layout, values, one.identity)


def _local(location: str) -> list[About]:
    parts = urllib.parse.urlsplit(location)
    if parts.scheme != "file" or parts.netloc:
        raise Refusal(f"its files lie at {parts.scheme or '?'}://, which is not read from here")
    found = []
    with os.scandir(location.removeprefix("file://").removeprefix("file:")) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.name.startswith(_HIDDEN):
                continue
            about = entry.stat()
            found.append(About(entry.path, entry.name, not entry.is_file(), about.st_size, about.st_mtime_ns))
    return found


def _remote(location: str, hdfs: WebHdfs | None) -> list[About]:
    if hdfs is None:
        raise Refusal("its files lie at hdfs://, which is read where the connection has the parameter `webhdfs`")
    try:
        return sorted(hdfs.listed(hdfs.path(location)), key=lambda one: one.name)
    except ValueError as why:
        raise Refusal(str(why)) from None
    except SourceError as error:
        raise Refusal(f"its files cannot be read here ({error.message.rstrip('.')})") from None


def plan_files(
    request: ScanRequest,
    metastore: Metastore,
    database: str,
    seen: Callable[[Known], Known],
    hdfs: WebHdfs | None = None,
) -> ScanPlan:
    """The plan by this route, by what the metastore says alone; `seen` says what that is for this connection. Raises
    Refusal where the table is not one of its,
    SourceError where the metastore cannot be asked, and what `seen` raises."""
    import pyarrow as pa

    from workbench.kit.filter import can_apply

    stored = metastore.stored(
        request.table.schema or database or "default",
        request.table.name,
        lambda told: _wanted(request.predicates, _known(request, told)),
    )
    known = seen(_known(request, stored))
    every = known.schema()
    exact = [predicate for predicate in request.predicates if can_apply(predicate, every)]
    again = [column.name for one in request.predicates if one not in exact for column in columns_of(one)]
    names = tuple(dict.fromkeys((*request.columns, *again)))
    used = tuple(dict.fromkeys((*names, *(column.name for one in exact for column in columns_of(one)))))
    files, partitions, of = listed(stored, known.types, used, exact, hdfs)
    schema = pa.schema([every.field(name) for name in names])
    shown = _shown(files)
    way = f" at {hdfs.shown} through WebHDFS" if hdfs is not None and any(file.identity for file in files) else ""
    text = f"the {shown}files of {request.table}" + (f" where {' and '.join(map(str, exact))}" if exact else "")
    state = {
        "columns": {name: known.types[name] for name in used},
        "keys": stored.keys,
        "predicates": tuple(exact),
    }
    parts = _parts(files, request.splits)
    those = "partitions with that value" if _wanted(request.predicates, known) else "partitions"
    folders = f", of {partitions:,} of {of:,} {those}" if stored.keys else ""
    return ScanPlan(
        request=request,
        splits=tuple(
            Split(number, request.table, text, schema, {**state, "files": tuple(part)})
            for number, part in enumerate(parts)
        ),
        schema=schema,
        native_text=text,
        applied={one: Applied.EXACT if one in exact else Applied.NONE for one in request.predicates},
        reasons={one: "it is compared where the query runs" for one in request.predicates if one not in exact},
        extra=len(names) - len(request.columns),
        estimate=known.rows,
        notes=(f"read from {len(files):,} {shown}files{way}{folders}, past HiveServer2",),
    )


def _known(request: ScanRequest, stored: Stored) -> Known:
    try:
        types = {
            name: dataclasses.replace(HiveType.of_name(kind), partition=name in stored.keys)
            for name, kind, _ in stored.columns
        }
    except ValueError as error:
        raise Refusal(f"the metastore says of its types: {error}") from None
    comments = {name: comment for name, _, comment in stored.columns if comment}
    return Known(request.table, types, comments, stored.keys, counted(stored.parameters))


def _wanted(predicates: Sequence[Predicate], known: Known) -> dict[str, str]:
    """Values that partition columns of text have to have. All else is compared here: the metastore's database may order
    texts in its own way, and writes numbers in more than one."""
    found: dict[str, str] = {}
    for one in predicates:
        if isinstance(one, Compare) and one.op == "=" and one.column.name in known.partitioned:
            value = one.literal.value
            if known.types[one.column.name].name == "string" and isinstance(value, str) and _PLAIN.fullmatch(value):
                found[one.column.name] = value
    return found


def _parts(files: Sequence[File], splits: int) -> list[list[File]]:
    """The files in order, in parts of about the same size; one at least."""
    total = sum(file.size for file in files)
    count = max(1, min(splits * 2, len(files), total // _PART_BYTES + 1)) if splits > 1 else 1
    parts: list[list[File]] = [[]]
    seen = 0
    for file in files:
        if parts[-1] and seen * count >= total * len(parts):
            parts.append([])
        parts[-1].append(file)
        seen += file.size
    return parts


def _shown(files: Sequence[File]) -> str:
    names = {"parquet": "Parquet", "orc": "ORC", "text": "text"}
    return "".join(f"{name} " for name in dict.fromkeys(names[file.layout.format] for file in files))
