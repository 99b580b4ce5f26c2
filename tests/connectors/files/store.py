"""A folder of files as the conformance suite sees it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from workbench.contract import Changes, ConnectionConfig, Manifest, TableRef
from workbench.testing.store import Store
from workbench_files.manifest import MANIFEST

__all__ = ["FilesStore", "LinesStore"]


class FilesStore(Store):
    """Tables are folders of parts in `format`: Parquet in two files of small row groups, or an Arrow file."""

    def __init__(self, folder: Path, kind: str = "parquet") -> None:
        self.folder, self.kind = folder, kind

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        return ConnectionConfig("lake", {"path": str(self.folder)}, writable=writable)

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        self.drop(TableRef(name))
        folder = self.folder / name
        folder.mkdir()
        half = table.num_rows // 2
        for number, part in enumerate((table.slice(0, half), table.slice(half))):
            if self.kind == "parquet":
                pq.write_table(part, folder / f"part {number}.parquet", row_group_size=5_000)
            else:
                with ipc.new_file(folder / f"part {number}.arrow", part.schema) as writer:
                    writer.write_table(part, max_chunksize=5_000)
        return TableRef(name)

    def drop(self, table: TableRef) -> None:
        shutil.rmtree(self.folder / table.name, ignore_errors=True)

    def arrow_types(self) -> list[pa.DataType]:
        whole = [pa.type_for_alias(f"{sign}int{bits}") for bits in (8, 16, 32, 64) for sign in ("", "u")]
        units = ("ms", "us", "ns") if self.kind == "parquet" else ("s", "ms", "us", "ns")
        return [
            *whole,
            *(pa.timestamp(unit, zone) for unit in units for zone in (None, "UTC")),
            pa.bool_(),
            pa.float32(),
            pa.float64(),
            pa.decimal128(38, 0),
            pa.decimal128(9, 4),
            pa.string(),
            pa.large_string(),
            pa.binary(),
            pa.large_binary(),
            pa.date32(),
            pa.time32("ms"),
            pa.time64("us"),
        ]

    def values(self, arrow_type: pa.DataType) -> list[Any]:
        return list(super().values(arrow_type))

    def names(self) -> list[str]:
        return [*super().names(), "wbt🦆", "wbt\\back", "wbt\nline", "wbt*?[a]"]

    def many(self) -> int:
        return 120_000


class LinesStore(FilesStore):
    """A table is a file of JSON lines, which grows and can be rotated away."""

    def load(self, name: str, table: pa.Table, key: tuple[str, ...] = ()) -> TableRef:
        self.drop(TableRef(name))
        self._append(name, table.to_pylist())
        return TableRef(name)

    def drop(self, table: TableRef) -> None:
        for file in self.folder.glob(f"{table.name}.jsonl*"):
            file.unlink()

    def change(self, table: TableRef, changes: Changes) -> bool:
        ops = ["insert"] if changes.ops is None else changes.ops.to_pylist()
        if set(ops) == {"insert"}:
            self._append(table.name, changes.rows.to_pylist())
        return set(ops) == {"insert"}

    def forget(self, table: TableRef) -> bool:
        (self.folder / f"{table.name}.jsonl").write_bytes(b"")
        return True

    def _append(self, name: str, rows: list[dict[str, Any]]) -> None:
        with (self.folder / f"{name}.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
