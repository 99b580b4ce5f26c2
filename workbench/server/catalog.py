"""What a connection has: schemas, tables, columns, and the first rows of a table."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from tornado import web

from workbench.catalog import browsing
from workbench.contract.scan import TableInfo, TableRef
from workbench.server.handlers import ARROW, Handler

__all__ = ["HANDLERS"]

MOST_TABLES = 1_000
MOST_ROWS = 100


class _Catalog(Handler):
    auth_resource = "workbench:catalog"

    def table(self) -> TableRef:
        name = self.text("name")
        if not name:
            raise web.HTTPError(400, "`name` is missing: that of the table")
        return TableRef(name, self.text("schema") or None)


class SchemasHandler(_Catalog):
    @web.authenticated
    @authorized
    async def get(self, connection: str) -> None:
        catalog = self.services.catalog
        self.answer({"schemas": await self.blocking(lambda: browsing.schemas(catalog, connection), connection)})


class TablesHandler(_Catalog):
    @web.authenticated
    @authorized
    async def get(self, connection: str) -> None:
        catalog, schema, search = self.services.catalog, self.text("schema") or None, self.text("search", 200) or ""
        after, limit = self.text("after"), self.number("limit", 200, MOST_TABLES, 1)
        page = await self.blocking(lambda: browsing.page(catalog, connection, schema, search, after, limit), connection)
        self.answer({"tables": [_table(one) for one in page.tables], "next": page.next, "total": page.total})


class TableHandler(_Catalog):
    @web.authenticated
    @authorized
    async def get(self, connection: str) -> None:
        catalog, table = self.services.catalog, self.table()
        columns = await self.blocking(lambda: browsing.columns(catalog, connection, table), connection)
        self.answer({"columns": [vars(one) for one in columns]})


class SampleHandler(_Catalog):
    @web.authenticated
    @authorized
    async def get(self, connection: str) -> None:
        services, table, rows = self.services, self.table(), self.number("rows", 20, MOST_ROWS, 1)
        self.set_header("Content-Type", ARROW)
        stream = await self.blocking(lambda: services.sample(connection, table, rows), connection)
        self.finish(stream, set_content_type=ARROW)


class RefreshHandler(_Catalog):
    @web.authenticated
    @authorized
    async def post(self, connection: str) -> None:
        self.body("Nothing")
        catalog = self.services.catalog
        await self.blocking(lambda: catalog.refresh(catalog.saved(connection).name))
        self.set_status(204)
        self.finish()


HANDLERS = [
    ("catalog/{connection}/schemas", SchemasHandler),
    ("catalog/{connection}/tables", TablesHandler),
    ("catalog/{connection}/table", TableHandler),
    ("catalog/{connection}/sample", SampleHandler),
    ("catalog/{connection}/refresh", RefreshHandler),
]


def _table(info: TableInfo) -> dict[str, object]:
    return {
        "schema": info.table.schema,
        "name": info.table.name,
        "kind": info.kind,
        "rows": info.rows,
        "comment": info.comment,
    }
