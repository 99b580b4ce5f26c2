"""The extension: its handlers under `/workbench/api`, and what they share."""

from __future__ import annotations

import gc
import os
import re
import sys
from typing import Any

from jupyter_server.extension.application import ExtensionApp

from workbench.server import catalog, comet, connections, dashboards, live, metrics, results, running, socket_io
from workbench.server.handlers import Handler, NothingHere
from workbench.server.looking import Looks
from workbench.server.services import Services

__all__ = ["BASE", "WorkbenchApp", "routes"]

BASE = "/workbench/api/"
NEW_DEMO = "WORKBENCH_NEW_DEMO"
"""Set by `workbench lab` where it has just made the demo shop: Lab then offers its dashboard."""
SWITCH = 0.001
"""Seconds after which a thread that computes lets another one go on, in place of Python's 0.005."""
_PART = re.compile(r"\{\w+\}")


def routes() -> list[tuple[str, type[Handler] | type[live.LiveHandler]]]:
    """All routes as the description writes them, below `BASE`, with what serves each."""
    rooms = (connections, catalog, running, results, dashboards, live, comet, metrics)
    return [one for room in rooms for one in room.HANDLERS]


class WorkbenchApp(ExtensionApp):
    name = "workbench"
    app_name = "Analytics Workbench"
    description = "What the workbench's panels in JupyterLab ask."
    open_browser = False

    def initialize_settings(self) -> None:
        self.services = Services()
        self.settings["workbench_services"] = self.services
        if self.serverapp is not None and os.environ.pop(NEW_DEMO, ""):
            self.serverapp.web_app.settings.setdefault("page_config_data", {})["workbenchNewDemo"] = "true"

    def initialize_handlers(self) -> None:
        for path, handler in routes():
            own = {"path": path} if issubclass(handler, Handler) else {}
            self.handlers.append((BASE + _PART.sub("([^/]+)", path), handler, own))
        if socket_io.there():
            self.socket_io = socket_io.SocketIO(Looks, "workbench:live")
            self.handlers.append((BASE + socket_io.PATH, self.socket_io.handler))
        self.handlers.append((BASE + ".*", NothingHere))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """In the running loop: `workbench lab` has a kernel manager that starts one ahead."""
        # The loop waits for its turn behind each of our threads, and behind every look through all objects: both are
        # made short. What there is by now stays, so nobody has to look through it.
        sys.setswitchinterval(SWITCH)
        gc.freeze()
        warm = getattr(serverapp.kernel_manager, "warm", None)
        if warm is not None:
            warm()

    socket_io: socket_io.SocketIO | None = None

    async def stop_extension(self) -> None:
        if self.socket_io is not None:
            await self.socket_io.aclose()
        await self.services.aclose()
