"""Results that notebooks show: how they stand, views of them, pages, single cells, downloads."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

from workbench.server.handlers import ARROW, Handler
from workbench.server.pool import Places

if TYPE_CHECKING:
    from workbench.execution.shared_reading import SharedReader
    from workbench.query.pages import Cell, Rows
    from workbench.query.views import View

__all__ = ["HANDLERS"]

Made = TypeVar("Made")

MOST_ROWS = 1_000
MOST_COLUMNS = 500
MOST_CELLS = 50_000
"""Of one page."""
_VIEWS = "(views)"
"""Views wait for each other, as calls to one source do."""
_SOON, _SCREEN, _STOPPED = 0.2, 200, 2.0
"""A view that is asked for is answered when it has so many rows, or after so many seconds; one that is stopped soon."""
_TYPES = {"null": "text/plain", "binary": "application/octet-stream"}
_DOWNLOADS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


class _Results(Handler):
    auth_resource = "workbench:results"

    async def blocking(
        self, work: Callable[[], Made], source: str = "", begun: bool = False, among: Places = "results"
    ) -> Made:
        """Each result as a source of its own, among results: those that are slow to read take no place from others."""
        return await super().blocking(work, source or f"result {self.path_args[0]}", begun, among)

    def reader(self, result: str) -> SharedReader:
        return self.services.views.reader(result)

    def rows(self, result: str, reader: SharedReader, view: str | None, whole: bool = False) -> Rows:
        """Of that view, as far as they are known or the `whole` of it; or of the whole result."""
        if not view:
            return range(reader.rows)
        views = self.services.views
        return views.numbers(views.get(result, view), lambda: self.left, whole)

    def stands(self, view: View) -> dict[str, Any]:
        return {"view": view.id, "of": view.of, **dataclasses.asdict(view.standing)}


class ResultHandler(_Results):
    @web.authenticated
    @authorized
    async def get(self, result: str) -> None:
        def said() -> dict[str, Any]:
            from workbench.query.views_statement import searchable

            reader = self.reader(result)
            self.services.views.warm()
            head = reader.refresh()
            return {
                "id": result,
                "rows": head.rows,
                "state": head.state,
                "cap": head.note if head.state == "capped" else None,
                "error": head.note if head.state == "failed" else None,
                "estimate": head.estimate if head.estimate is not None and head.estimate > head.rows else None,
                "unsearched": [one.name for one in reader.schema if not searchable(one.type)],
                "columns": [{"name": one.name, "type": str(one.type)} for one in reader.schema],
            }

        self.answer(await self.blocking(said))


class ViewsHandler(_Results):
    @web.authenticated
    @authorized
    async def post(self, result: str) -> None:
        body = self.body("ViewBody")

        def found() -> dict[str, Any]:
            from workbench.query import conditions

            schema = self.reader(result).schema
            asked = conditions.checked(
                schema, body.get("sort", []), body.get("filters", []), str(body.get("search", ""))
            )
            view = self.services.views.begin(result, asked)
            view.wait(_SOON, _SCREEN, lambda: self.left)
            if self.left:
                self.services.views.leave(view)
            return self.stands(view)

        self.answer(await self.blocking(found, _VIEWS))


class ViewHandler(_Results):
    @web.authenticated
    @authorized
    async def get(self, result: str, view: str) -> None:
        def stands() -> dict[str, Any]:
            found = self.services.views.get(result, view)
            found.wait(0)
            return self.stands(found)

        self.answer(await self.services.blocking(stands))

    @web.authenticated
    @authorized
    async def delete(self, result: str, view: str) -> None:
        def stopped() -> dict[str, Any]:
            found = self.services.views.get(result, view)
            found.stop()
            found.wait(_STOPPED)
            return self.stands(found)

        self.answer(await self.services.blocking(stopped))


class PageHandler(_Results):
    @web.authenticated
    @authorized
    async def get(self, result: str) -> None:
        start, count = self.number("start", 0, 1 << 32), self.number("count", 200, MOST_ROWS, 1)
        view, named = self.text("view", 40), self.text("columns", 4_000)

        def read() -> bytes:
            from workbench.query import pages

            reader = self.reader(result)
            columns = _columns(named, len(reader.schema))
            if len(columns) * count > MOST_CELLS:
                raise web.HTTPError(400, f"A page has {MOST_CELLS:,} cells at most: ask for fewer rows or columns")
            rows = self.rows(result, reader, view)
            end = min(start + count, len(rows))
            at = min(start, end)
            part = range(at, end) if isinstance(rows, range) else rows.slice(at, end - at)
            return pages.page(reader, part, columns)

        self.finish(await self.blocking(read), set_content_type=ARROW)


class CellHandler(_Results):
    @web.authenticated
    @authorized
    async def get(self, result: str) -> None:
        row, column = self.number("row", 0, 1 << 32), self.number("column", 0, 1 << 20)
        view = self.text("view", 40)

        def read() -> Cell:
            from workbench.query import pages

            reader = self.reader(result)
            rows = self.rows(result, reader, view)
            if row >= len(rows):
                raise web.HTTPError(400, f"There are {len(rows):,} rows")
            found = rows[row]
            return pages.cell(reader, found if isinstance(found, int) else found.as_py(), column)

        cell = await self.blocking(read)
        if cell.kind == "null":
            self.set_status(204)
            self.finish()
            return
        self.set_header("Content-Disposition", "attachment")  # to be shown by the grid, and by nothing else
        kind = _TYPES.get(cell.kind, "application/json" if cell.kind == "json" else "text/plain; charset=utf-8")
        self.finish(cell.data, set_content_type=kind)


class ExportHandler(_Results):
    @web.authenticated
    @authorized
    async def get(self, result: str) -> None:
        kind, view = self.text("format", 10) or "csv", self.text("view", 40)
        most = self.number("rows", -1, 1 << 32)
        name = self.text("name", 200) or f"result-{result[:6]}"
        if kind not in _DOWNLOADS:
            raise web.HTTPError(400, f"`format` is one of {', '.join(_DOWNLOADS)}")

        def begin() -> tuple[bytes, _Pieces, str]:
            from workbench.query import exporting

            reader = self.reader(result)
            rows = self.rows(result, reader, view, whole=most < 0)
            encoded = exporting.encoded(reader, rows[:most] if most >= 0 else rows, f".{kind}")
            # What cannot be written is said before anything is sent.
            return next(encoded), _Pieces(encoded), exporting.disposition(name, f".{kind}")

        first, pieces, named = await self.blocking(begin)
        piece: bytes | None = first
        self.set_header("Content-Type", _DOWNLOADS[kind])
        self.set_header("Content-Disposition", named)
        try:
            while piece is not None:
                self.write(piece)
                await self.flush()
                piece = await self.blocking(pieces.next, begun=True)
        except StreamClosedError:
            return  # whoever asked has left
        finally:
            if piece is not None:
                await self.services.blocking(pieces.leave, begun=True)
        self.finish(set_content_type=_DOWNLOADS[kind])


HANDLERS = [
    ("results/{result}", ResultHandler),
    ("results/{result}/views", ViewsHandler),
    ("results/{result}/views/{view}", ViewHandler),
    ("results/{result}/page", PageHandler),
    ("results/{result}/cell", CellHandler),
    ("results/{result}/export", ExportHandler),
]


class _Pieces:
    """A download's pieces, which can be left while one of them is made."""

    def __init__(self, encoded: Generator[bytes, None, None]) -> None:
        self._encoded, self._lock, self._left = encoded, threading.Lock(), False

    def next(self) -> bytes | None:
        """None after the last one."""
        with self._lock:
            piece = next(self._encoded, None)
        if self._left:
            self.leave()
        return piece

    def leave(self) -> None:
        """Lets go of what making them holds; at once, or when the one that is being made is there."""
        self._left = True
        if self._lock.acquire(blocking=False):
            try:
                self._encoded.close()
            finally:
                self._lock.release()


def _columns(named: str | None, there: int) -> list[int]:
    """The numbers in `0,2,5`; all columns where none are named, but not more than a page has."""
    if not named:
        return list(range(min(there, MOST_COLUMNS)))
    texts = named.split(",")
    if not all(text.isascii() and text.isdecimal() and len(text) < 7 for text in texts):
        raise web.HTTPError(400, "`columns` is a list of numbers such as 0,1,2")
    columns = [int(text) for text in texts]
    if len(columns) > MOST_COLUMNS or max(columns) >= there or len(set(columns)) < len(columns):
        raise web.HTTPError(400, f"`columns` has up to {MOST_COLUMNS} numbers from 0 to {there - 1}, each once")
    return columns
