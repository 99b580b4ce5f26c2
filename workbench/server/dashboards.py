"""Dashboards from Lab: what is published, and publishing a notebook of this server, or that of the demo shop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from workbench.catalog import places
from workbench.dashboards import Dashboards
from workbench.dashboards.publishing import Published, publish_at
from workbench.demo import examples
from workbench.server.handlers import Handler

__all__ = ["HANDLERS"]

_PUBLISHING = "(dashboards)"
"""It may wait for a viewer to start, and takes no place from a Stop."""


class _Dashboards(Handler):
    auth_resource = "workbench:dashboards"


class DashboardsHandler(_Dashboards):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        store = Dashboards(places.documents(self.services.catalog.home))
        self.answer({"names": await self.blocking(store.names)})

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Publishes, and starts the viewer where it does not run."""
        body, home = self.body("PublishBody"), self.services.catalog.home
        notebook = within(Path(self.settings["server_root_dir"]), body["path"])

        def published() -> Published:
            return publish_at(home, notebook, body.get("name"))

        self.answer(_said(await self.blocking(published, _PUBLISHING, among="work")), 201)


class DemoDashboardHandler(_Dashboards):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        self.body("Nothing")
        catalog = self.services.catalog
        published = await self.blocking(lambda: examples.publish(catalog), _PUBLISHING, among="work")
        self.answer(_said(published), 201)


HANDLERS = [("dashboards", DashboardsHandler), ("dashboards/demo", DemoDashboardHandler)]


def within(root: Path, path: str) -> Path:
    """The notebook at a path of Jupyter's. What lies elsewhere, also by a link, is not there."""
    try:
        base = root.expanduser().resolve()
        found = (base / path.lstrip("/")).resolve()
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, links in a circle
        raise web.HTTPError(404, "There is no such notebook in the folder of this server") from None
    if not found.is_relative_to(base) or found.suffix != ".ipynb" or not found.is_file():
        raise web.HTTPError(404, "There is no such notebook in the folder of this server")
    return found


def _said(made: Published) -> dict[str, Any]:
    return {"name": made.dashboard.name, "title": made.dashboard.title, "link": made.link}
