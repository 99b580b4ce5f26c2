"""The published notebooks: each is one document, with a copy of the notebook in it, so that what is shown does not
change while its author goes on working."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.contract.errors import DocumentError, InvalidParameter, PathUnreachable, UnknownName, UsageError
from workbench.dashboards.parameters import declared_in
from workbench.documents.store import DocumentStore

__all__ = ["Dashboard", "Dashboards", "UnknownDashboard", "page_of"]

_KIND = "dashboards"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LARGEST = 12 << 20


class UnknownDashboard(UnknownName):
    kind = "dashboard"


@dataclass(frozen=True)
class Dashboard:
    """`folder` is where the notebook lies, and where it runs; `published` is in seconds since 1970. The notebook has no
    outputs: each viewer sees what it computes now, never what its author saw."""

    name: str
    title: str
    source: str
    folder: str
    published: float
    parameters: dict[str, dict[str, Any]]
    notebook: dict[str, Any]

    @property
    def page(self) -> str:
        """The dashboard as it was published then: another one once it is published anew."""
        return page_of(self.name, self.published)


def page_of(name: str, published: object) -> str:
    return f"{name}.{hashlib.sha256(repr(published).encode()).hexdigest()[:16]}"


class Dashboards:
    """All that is published by this user. `folder` is that of the user's documents."""

    def __init__(self, folder: Path) -> None:
        self._store = DocumentStore(folder)
        self._pages: dict[str, tuple[tuple[int, ...], str]] = {}

    def publish(self, notebook: Path, name: str | None = None) -> Dashboard:
        """Publishes a copy, in place of the one of that name. Without a name it is made of the file's: it replaces what
        was published from that file, and never what was from another. Raises UsageError where it is no notebook that
        can run, or its parameters cannot be read."""
        path = notebook.expanduser().absolute()
        content = _read(path)
        code = [_source(cell) for cell in content["cells"] if cell.get("cell_type") == "code"]
        name = name if name is not None else self._name_for(path)
        if not _NAME.fullmatch(name):
            raise InvalidParameter("name", "of a dashboard must be small letters, digits, `_` and `-`, 64 at most.")
        made = Dashboard(
            name, _title(content) or path.stem, str(path), str(path.parent), time.time(), declared_in(code), content
        )
        self._store.save(_KIND, name, {key: value for key, value in asdict(made).items() if key != "name"})
        return made

    def _name_for(self, path: Path) -> str:
        base = _name_of(path.stem)
        for number in itertools.count(1):
            name = base if number == 1 else f"{base[:60]}-{number}"
            found = self._store.find(_KIND, name)
            if found is None or found.body.get("source") == str(path):
                break
        return name

    def get(self, name: str) -> Dashboard:
        """Raises UnknownDashboard, DocumentError."""
        found = self._store.find(_KIND, name) if _NAME.fullmatch(name) else None
        if found is None:
            raise UnknownDashboard(name, self.names())
        return _made(found.name, found.body)

    def stamp(self, name: str) -> str:
        """Another text whenever it was published anew; reads nothing."""
        return str(self._store.stamp(_KIND, name))

    def page(self, name: str) -> str:
        """`Dashboard.page` of what is published by that name now; nothing where none is. Read once: then it is only
        looked whether it is the same file."""
        stamp = self._store.stamp(_KIND, name) if _NAME.fullmatch(name) else None
        if stamp is None:
            self._pages.pop(name, None)
            return ""
        kept = self._pages.get(name)
        if kept is None or kept[0] != stamp:
            found = self._store.find(_KIND, name)
            kept = self._pages[name] = (stamp, page_of(name, found.body.get("published")) if found else "")
        return kept[1]

    def names(self) -> list[str]:
        return self._store.names(_KIND)

    def remove(self, name: str) -> None:
        """Pages that are open end; nobody opens it anew. Raises UnknownDashboard."""
        if name not in self.names():
            raise UnknownDashboard(name, self.names())
        self._store.remove(_KIND, name)


def _made(name: str, body: Mapping[str, Any]) -> Dashboard:
    try:
        return Dashboard(name=name, **body)
    except TypeError:
        raise DocumentError(f"{_KIND}/{name}", "has not what a dashboard has. Publish it anew.") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PathUnreachable(str(path), error.strerror or "cannot be read") from None
    if len(data) > 4 * _LARGEST:
        raise UsageError(f"{path.name} has {len(data) >> 20} MiB: clear its outputs first.")
    try:
        content = json.loads(data)
        if content["nbformat"] != 4 or not all(isinstance(cell, dict) for cell in content["cells"]):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{path.name} is no Jupyter notebook of format 4.") from None
    language = _language(content)
    if language.casefold() != "python":
        raise UsageError(f"{path.name} is a notebook of {language}; the viewer runs Python's.")
    return _stripped(content)


def _language(content: Mapping[str, Any]) -> str:
    """As its metadata says; Python where it says nothing."""
    metadata = content.get("metadata")
    told = [metadata.get(part) for part in ("kernelspec", "language_info")] if isinstance(metadata, dict) else []
    names = [part.get(key) for part, key in zip(told, ("language", "name"), strict=False) if isinstance(part, dict)]
    return str(next((name for name in names if name), "python"))


def _stripped(content: dict[str, Any]) -> dict[str, Any]:
    cells = []
    for cell in content["cells"]:
        kept = {key: cell[key] for key in ("cell_type", "id", "source", "attachments") if key in cell}
        tags = (cell.get("metadata") or {}).get("tags", [])
        kept["metadata"] = {"tags": tags} if tags else {}
        if cell.get("cell_type") == "code":
            kept |= {"outputs": [], "execution_count": None}
        cells.append(kept)
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    minor = content.get("nbformat_minor")
    made = {"nbformat": 4, "nbformat_minor": minor if isinstance(minor, int) else 5, "metadata": metadata}
    if len(json.dumps(cells)) > _LARGEST:
        raise UsageError(f"The notebook has more than {_LARGEST >> 20} MiB without its outputs.")
    return {**made, "cells": cells}


def _title(content: Mapping[str, Any]) -> str:
    """The first heading."""
    for cell in content["cells"]:
        if cell.get("cell_type") == "markdown":
            found = re.search(r"^#{1,3}\s+(.+?)\s*#*$", _source(cell), re.MULTILINE)
            if found:
                return re.sub(r"[*_`]", "", found[1])[:100]
    return ""


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _name_of(stem: str) -> str:
    """`02_traffic_overview` is `traffic-overview`; one without a Latin letter is told from others by a number."""
    words = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    number = hashlib.sha256(stem.encode("utf-8", "replace")).hexdigest()[:8]
    return re.sub(r"^[0-9]+-", "", words)[:64] or f"dashboard-{number}"
