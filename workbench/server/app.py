"""The extension: its handlers under `/workbench/api`, and what they share."""

from __future__ import annotations

import re

from jupyter_server.extension.application import ExtensionApp

from workbench.server import catalog, connections, live, results, running
from workbench.server.handlers import Handler, NothingHere
from workbench.server.services import Services

__all__ = ["BASE", "WorkbenchApp", "routes"]

BASE = "/workbench/api/"
_PART = re.compile(r"\{\w+\}")


def routes() -> list[tuple[str, type[Handler] | type[live.LiveHandler]]]:
    """All routes as the description writes them, below `BASE`, with what serves each."""
    return [*connections.HANDLERS, *catalog.HANDLERS, *running.HANDLERS, *results.HANDLERS, *live.HANDLERS]


class WorkbenchApp(ExtensionApp):
    name = "workbench"
    app_name = "Analytics Workbench"
    description = "What the workbench's panels in JupyterLab ask."
    open_browser = False

    def initialize_settings(self) -> None:
        self.services = Services()
        self.settings["workbench_services"] = self.services

    def initialize_handlers(self) -> None:
        for path, handler in routes():
            self.handlers.append((BASE + _PART.sub("([^/]+)", path), handler))
        self.handlers.append((BASE + ".*", NothingHere))

    async def stop_extension(self) -> None:
        await self.services.aclose()
