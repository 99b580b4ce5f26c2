"""Which files make up which table, without ever leaving the folder."""

from __future__ import annotations

import datetime
import glob
import os
import re
import stat
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.contract.errors import InvalidParameter, PathUnreachable, StatementRefused, UnknownTable
from workbench_files.manifest import MANIFEST

__all__ = ["DataFile", "Folder", "FoundTable", "suffix_of"]

FORMATS = {
    ".parquet": "parquet", ".pq": "parquet",
    ".arrow": "arrow", ".arrows": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".csv": "csv", ".tsv": "csv", ".csv.gz": "csv", ".tsv.gz": "csv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".jsonl.gz": "jsonl", ".ndjson.gz": "jsonl", ".json.gz": "jsonl",
}  # fmt: skip
assert FORMATS.keys() == set(MANIFEST.suffixes)
_MAGIC = re.compile(r"[*?\[]")
_HIVE = re.compile(r"([^=/]+)=(.*)", re.DOTALL)
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
Key = str | int | datetime.date | None


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file as it was when it was found. `keys` are the `name=value` folders on the way to it, as text."""

    path: str
    shown: str
    size: int
    mtime_ns: int
    inode: int
    keys: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class FoundTable:
    """A table by its name: one file, or all files of a folder. `settings` are the connection's for this table."""

    name: str
    format: str
    files: tuple[DataFile, ...]
    settings: Mapping[str, Any]
    folder: str | None = None


class Folder:
    """The tables under a path. What begins with `.` or `_` is not looked at; a link that leads out is refused."""

    def __init__(self, path: str, settings: Mapping[str, Mapping[str, Any]], connection: str) -> None:
        if "\0" in path or "://" in path:
            raise InvalidParameter("path", "must be the path of a file or a folder on this machine, not a URL.")
        self.path = os.path.abspath(os.path.expanduser(path))
        self._settings, self._connection = settings, connection
        self.pattern = not os.path.lexists(self.path) and bool(_MAGIC.search(self.path))
        fixed = self.path
        while self.pattern and _MAGIC.search(fixed):
            fixed = os.path.dirname(fixed)
        self._fixed = fixed

    @property
    def writable_root(self) -> str | None:
        """Where new tables go; None for a single file or a pattern."""
        return self.root() if not self.pattern and os.path.isdir(self.path) else None

    def root(self) -> str:
        """The real path that nothing may lead out of. Raises PathUnreachable when it is not there."""
        real = os.path.realpath(self._fixed)
        if not os.path.exists(real):
            raise PathUnreachable(self.path, "there is no such file or folder", self._connection)
        return real

    def names(self) -> list[str]:
        """All tables, sorted."""
        return sorted(self._entries())

    def table(self, name: str) -> FoundTable:
        """Raises UnknownTable, and StatementRefused for a link that leads out."""
        entries = self._entries()
        if name not in entries:
            link = self._leads_out(name)
            if link is not None:
                raise StatementRefused(f"`{name}`", f"{link} is a link that leads out of {self.path}.")
            raise UnknownTable(name, entries, "" if entries else f"There are no data files in {self.path}.")
        files = [file for path in entries[name] for file in self._files(path)]
        settings = self.settings(name)
        formats = {settings.get("format") or _format(name, file.path) for file in files}
        if len(formats) > 1:
            raise InvalidParameter(
                f"tables.{name}.format",
                f"is needed: the folder holds files of {' and '.join(sorted(formats))}, and a table has one format.",
            )
        if len(files) == 1 and not files[0].keys and not os.path.isdir(entries[name][0]):
            folder = None
        else:
            folder = entries[name][0]
        chosen = formats.pop() if formats else settings.get("format", "parquet")
        return FoundTable(name, chosen, tuple(files), settings, folder)

    def settings(self, name: str) -> Mapping[str, Any]:
        """The table's own, else those of `*`."""
        return self._settings.get(name, self._settings.get("*", {}))

    def _entries(self) -> dict[str, list[str]]:
        """Table names, and the files or the folder of each."""
        root = self.root()
        if self.pattern:
            found = sorted(glob.iglob(self.path, recursive=True))
            kept = [path for path in found if os.path.isfile(path) and self._is_data(path)]
            return {_stem(os.path.basename(self._fixed)) or "files": kept} if kept else {}
        if not os.path.isdir(root):
            return {_stem(os.path.basename(self.path)): [root]}
        stems: dict[str, list[str]] = {}
        hive = False
        for entry in self._scan(root):
            if entry.is_symlink() and not self._inside(entry.path):
                continue
            if _is_folder(entry):
                if _HIVE.fullmatch(entry.name):
                    hive = hive or self._has_data(entry.path)
                elif self._has_data(entry.path):
                    stems.setdefault(entry.name, []).append(entry.path)
            elif self._is_data(entry.path):
                stems.setdefault(_stem(entry.name), []).append(entry.path)
        names: dict[str, list[str]] = {}
        for stem, paths in stems.items():
            if len(paths) == 1:
                names[stem] = paths
            else:  # the same stem twice: then the whole name is the table's
                names.update({os.path.basename(path): [path] for path in paths})
        if hive:
            names[os.path.basename(root) or "files"] = [root]
        return names

    def _files(self, path: str) -> Iterator[DataFile]:
        root = self.root()
        if not os.path.isdir(path):
            if self._checked(path):
                # In a pattern the folders below its fixed part may be partitions.
                yield _data_file(path, root, path != root and self.pattern)
            return
        for file in self._walk(path, only_hive=path == root):
            if self._checked(file):
                yield _data_file(file, root, keyed=True)

    def _has_data(self, folder: str) -> bool:
        """As far as we may look: a folder that cannot be read spoils no list, and is named when its rows are read."""
        return next(self._walk(folder, seen_only=True), None) is not None

    def _walk(self, folder: str, only_hive: bool = False, seen_only: bool = False) -> Iterator[str]:
        """Data files below, in order of their names; links to folders too, which `_checked` refuses: they may lead in
        a circle, and rows behind them must not be missing without a word. Raises PathUnreachable for a folder that
        cannot be read; with `seen_only` it is left out."""
        try:
            entries = self._scan(folder)
        except PathUnreachable:
            if seen_only:
                return
            raise
        for entry in sorted(entries, key=lambda entry: entry.name):
            if _is_folder(entry):
                if only_hive and not _HIVE.fullmatch(entry.name):
                    continue
                if entry.is_symlink():
                    yield entry.path
                else:
                    yield from self._walk(entry.path, seen_only=seen_only)
            elif not only_hive and self._is_data(entry.path):
                yield entry.path

    def _is_data(self, path: str) -> bool:
        name = os.path.basename(path)
        return suffix_of(name) in FORMATS or "format" in self.settings(_stem(name))

    def _inside(self, path: str) -> bool:
        root = self.root()
        real = os.path.realpath(path)
        return real == root or real.startswith(root.rstrip(os.sep) + os.sep)

    def _checked(self, path: str) -> bool:
        if not self._inside(path):
            raise StatementRefused(f"`{os.path.basename(path)}`", f"it is a link that leads out of {self.path}.")
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            raise PathUnreachable(path, str(error.strerror), self._connection) from None
        if stat.S_ISDIR(mode):
            why = "it is a link to a folder, which is not followed within a table. Connect what it leads to by itself."
            raise StatementRefused(f"`{os.path.relpath(path, self.root())}`", why)
        return stat.S_ISREG(mode)

    def _leads_out(self, name: str) -> str | None:
        if self.pattern or not os.path.isdir(self.root()):
            return None
        for entry in self._scan(self.root()):
            if name in (entry.name, _stem(entry.name)) and not self._inside(entry.path):
                return entry.name
        return None

    def _scan(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return [entry for entry in entries if not entry.name.startswith((".", "_"))]
        except OSError as error:
            raise PathUnreachable(folder, str(error.strerror), self._connection) from None


def suffix_of(name: str) -> str:
    """The known suffix that a file's name ends in, the longest; empty for none."""
    lower = name.lower()
    return max((suffix for suffix in FORMATS if lower.endswith(suffix)), key=len, default="")


def _format(name: str, path: str) -> str:
    suffix = suffix_of(path)
    if suffix not in FORMATS:
        known = ", ".join(sorted(FORMATS))
        raise InvalidParameter(f"tables.{name}.format", f"is needed: `{path}` ends with none of {known}.")
    return FORMATS[suffix]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link that leads in a circle, or where we may not look, is no folder; it is named when it is to be read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _stem(name: str) -> str:
    suffix = suffix_of(name)
    return name[: -len(suffix)] if suffix and len(name) > len(suffix) else name


def _data_file(path: str, root: str, keyed: bool) -> DataFile:
    real = os.path.realpath(path)
    about = os.stat(real)
    shown = os.path.relpath(path, root) if path != root else os.path.basename(path)
    keys: list[tuple[str, str | None]] = []
    if keyed:
        for part in Path(shown).parts[:-1]:
            if match := _HIVE.fullmatch(part):
                name, value = (urllib.parse.unquote(piece) for piece in match.groups())
                keys.append((name, None if value == HIVE_NULL else value))
    return DataFile(real, shown, about.st_size, about.st_mtime_ns, about.st_ino, tuple(keys))
