"""One store for all kinds of documents, over a folder: `<folder>/<kind>/<name>.json`."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from workbench.contract.errors import DocumentError, InvalidParameter
from workbench.documents.private import private_folder, write_private

__all__ = ["Document", "DocumentStore", "stamp_of"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LARGEST = 16 << 20


@dataclass(frozen=True)
class Document:
    """A saved document. `version` is that of its kind's form; `body` is plain JSON."""

    kind: str
    name: str
    version: int
    body: Mapping[str, Any]


class DocumentStore:
    """Documents of several kinds in a folder of the user's own.

    Kinds and names match `[A-Za-z0-9_-]{1,64}`. A save is atomic: readers, and writers at the same time, in any
    process, see whole documents only, and the last writer stays. A file that cannot be read is never overwritten or
    removed: it is set aside under another name first. Files are 0600, folders 0700.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, kind: str, name: str, newest: int = 1) -> Document:
        """The document. Raises DocumentError when it is not there, damaged, or newer than version `newest`."""
        document = self.find(kind, name, newest)
        if document is None:
            raise DocumentError(f"{kind}/{name}", "is not there.")
        return document

    def find(self, kind: str, name: str, newest: int = 1) -> Document | None:
        """The document, or None when there is none of that name. Raises DocumentError as `load` does."""
        document = self._read(kind, name)
        if document is not None and document.version > newest:
            raise _newer(document, newest)
        return document

    def _read(self, kind: str, name: str) -> Document | None:
        path = self.path(kind, name)
        try:
            with path.open("rb") as file:
                data = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DocumentError(f"{kind}/{name}", f"cannot be read: {error.strerror} ({path}).") from None
        return _parsed(kind, name, path, data)

    def save(self, kind: str, name: str, body: Mapping[str, Any], version: int = 1) -> Document:
        """Saves the document in place of the one before. Raises DocumentError, and changes nothing, when `body` is
        not plain JSON, the one before is of a newer version, or the file cannot be written."""
        path = self.path(kind, name)
        document = Document(kind, name, version, dict(body))
        whole = {"kind": kind, "name": name, "version": version, "body": document.body}
        try:
            text = json.dumps(whole, indent=2, sort_keys=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            # The text of these names types only, never a value.
            why = f"cannot be saved: it is not plain JSON ({error})."
            raise DocumentError(f"{kind}/{name}", why) from None
        try:
            before = self._read(kind, name)
        except DocumentError:
            before = None
            self._set_aside(path)
        if before is not None and before.version > version:
            raise _newer(before, version)
        try:
            private_folder(self._folder)
            private_folder(path.parent)
            write_private(path, text.encode() + b"\n")
        except OSError as error:
            raise DocumentError(f"{kind}/{name}", f"cannot be saved: {error.strerror} ({path}).") from None
        return document

    def names(self, kind: str) -> list[str]:
        """Names of the documents of a kind, sorted, damaged ones too."""
        _check("kind", kind)
        try:
            files = list((self._folder / kind).iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            why = f"cannot be listed: {error.strerror} ({self._folder / kind})."
            raise DocumentError(f"{kind}/*", why) from None
        return sorted(file.stem for file in files if file.suffix == ".json" and _NAME.fullmatch(file.stem))

    def remove(self, kind: str, name: str) -> None:
        """Removes the document; one that cannot be read is set aside. Raises DocumentError when it is not there."""
        path = self.path(kind, name)
        try:
            if self._read(kind, name) is None:
                raise DocumentError(f"{kind}/{name}", "is not there.")
        except DocumentError:
            if not path.exists():
                raise
            self._set_aside(path)
        path.unlink(missing_ok=True)

    def stamp(self, kind: str, name: str) -> tuple[int, ...] | None:
        """Differs whenever the document was saved again, by whomever; None when it is not there."""
        return stamp_of(os.fspath(self.path(kind, name)))

    def path(self, kind: str, name: str) -> Path:
        """Where the document is, or would be. Raises InvalidParameter."""
        _check("kind", kind)
        _check("name", name)
        return self._folder / kind / f"{name}.json"

    @staticmethod
    def _set_aside(path: Path) -> None:
        """By a link, so that it never replaces what another process has set aside, nor is missing for a moment."""
        for number in itertools.count(1):
            try:
                os.link(path, path.with_name(f"{path.name}.damaged-{number}"))
                return
            except FileExistsError:
                continue
            except OSError as error:
                why = f"cannot be read, and cannot be set aside: {error.strerror} ({path})."
                raise DocumentError(f"{path.parent.name}/{path.stem}", why) from None


def stamp_of(path: str) -> tuple[int, ...] | None:
    """Of the document at a path; see `DocumentStore.stamp`."""
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size


def _newer(document: Document, known: int) -> DocumentError:
    why = f"is of version {document.version}, and this program knows versions up to {known}. Update the program."
    return DocumentError(f"{document.kind}/{document.name}", why)


def _check(what: str, value: str) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidParameter(what, "of a document must be 1 to 64 letters, digits, `_` or `-`.")


def _parsed(kind: str, name: str, path: Path, data: bytes) -> Document:
    def damaged(why: str) -> NoReturn:
        raise DocumentError(f"{kind}/{name}", f"is damaged: {why}. It is kept as {path}; mend it, or save it anew.")

    if len(data) > _LARGEST:
        damaged(f"it is larger than {_LARGEST >> 20} MiB")
    try:
        whole = json.loads(data, parse_constant=lambda constant: damaged(f"{constant} is not JSON"))
    except UnicodeDecodeError:
        damaged("it is not UTF-8")
    except json.JSONDecodeError as error:
        damaged(f"it is not JSON at line {error.lineno}, column {error.colno}")
    except (RecursionError, ValueError):
        damaged("it is not JSON that can be read")
    if not isinstance(whole, dict):
        damaged("it is not an object")
    version, body = whole.get("version"), whole.get("body")
    if type(version) is not int or version < 1:
        damaged("it has no version")
    if not isinstance(body, dict):
        damaged("it has no body")
    if whole.get("kind") != kind or whole.get("name") != name:
        damaged("it says that it is another document")
    return Document(kind, name, version, body)
