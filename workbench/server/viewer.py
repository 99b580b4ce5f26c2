"""The viewer: a server of its own, on which others look at dashboards and can do nothing else.

It is Jupyter's server with every route taken out but those below, which are all that a page of Voila needs. It reads no
settings of Jupyter's, loads no extension, and listens on this machine only unless told otherwise.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from jupyterlab_server.themes_handler import ThemesHandler
from tornado.ioloop import PeriodicCallback
from tornado.routing import AnyMatches, PathMatches, Rule
from tornado.web import StaticFileHandler
from traitlets.config import Config
from voila.paths import collect_static_paths
from voila.static_file_handler import MultiStaticFileHandler
from voila.utils import get_data_dir, get_voila_labextensions_path

from workbench.catalog import places
from workbench.dashboards.access import Access
from workbench.dashboards.process import HOST, PORT, Viewer, folder, log_of, say, shorten
from workbench.dashboards.published import Dashboards
from workbench.dashboards.rendering import EXTENSIONS, PAGES
from workbench.documents.private import private_folder
from workbench.notebook import profile
from workbench.runs import Register
from workbench.runs.process import Process
from workbench.server.bounded import BODY_SECONDS, IDLE_SECONDS, LARGEST, LARGEST_MESSAGE, BoundedServer
from workbench.server.socket_io import PATH, SocketIO, there
from workbench.server.viewer_access import LogIn, ViewerAuthorizer, ViewerIdentity
from workbench.server.viewer_kernels import INCOMING, ViewerConnection, ViewerKernels
from workbench.server.viewer_live import ViewerEvents, ViewerHub, ViewerLive, ViewerLooks, ViewerPoll
from workbench.server.viewer_pages import DashboardPage, EndKernel, List, Nothing, OneKernel
from workbench.server.viewer_rounds import SECONDS, Rounds

__all__ = ["ViewerApp", "main", "routes"]

_KERNEL = r"(?P<kernel_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"


def routes() -> list[tuple[str, Any, dict[str, Any]]]:
    """All that the viewer serves. Scripts and styles are those of installed packages, for whoever comes."""
    static = [path for path in collect_static_paths(["voila", "nbconvert"], "lab") if Path(path).is_dir()]
    extensions = get_voila_labextensions_path()
    themes = {"themes_url": "/voila/api/themes", "path": str(Path(get_data_dir()) / "themes")}
    found: list[tuple[str, Any, dict[str, Any]]] = [
        (r"/", List, {}),
        (r"/login", LogIn, {}),
        (r"/d/([a-z0-9_-]+)", DashboardPage, {}),
        (rf"/api/kernels/{_KERNEL}", OneKernel, {}),
        (rf"/api/kernels/{_KERNEL}/channels", KernelWebsocketHandler, {}),
        (rf"/voila/api/shutdown/{_KERNEL}", EndKernel, {}),
        (r"/workbench/api/live", ViewerLive, {}),
        (r"/workbench/api/live/events", ViewerEvents, {"path": "live/events"}),
        (r"/workbench/api/live/poll", ViewerPoll, {"path": "live/poll"}),
        *([(f"/workbench/api/{PATH}", SocketIO(ViewerLooks, "dashboards").handler, {})] if there() else []),
        (r"/(no-formulas\.js)", StaticFileHandler, {"path": str(PAGES)}),
        (r"/voila/static/(.*)", MultiStaticFileHandler, {"paths": static}),
        (r"/voila/templates/lab/static/(.*)", MultiStaticFileHandler, {"paths": static}),
        (r"/voila/api/themes/(.*)", ThemesHandler, {**themes, "labextensions_path": extensions, "no_cache_paths": []}),
    ]
    for name in EXTENSIONS:
        for base in extensions:
            if (place := Path(base) / name / "static").is_dir():
                found.append((rf"/voila/labextensions/{name}/static/(.*)", StaticFileHandler, {"path": str(place)}))
                break
    return found


class ViewerApp(ServerApp):
    name = "workbench-viewer"

    def prepare(self, home: Path) -> None:
        self.home = home
        self.access = Access(folder(home))

    def load_config_file(self, *given: Any, **named: Any) -> None:
        """None: what an author has set for their own server, or left open there, is not for viewers."""

    def init_webapp(self) -> None:
        super().init_webapp()
        app = self.web_app
        dashboards = app.settings["workbench_dashboards"] = Dashboards(places.documents(self.home))
        self.rounds = Rounds(self.access, dashboards)
        app.settings["workbench_viewer_hub"] = ViewerHub(Register(places.register(self.home)), self.rounds)
        app.settings["login_url"] = f"{self.base_url}login"
        app.wildcard_router.rules = []
        app.wildcard_router.named_rules = {}
        base = self.base_url.rstrip("/")
        ours = [Rule(PathMatches(base + path), handler, given) for path, handler, given in routes()]
        app.wildcard_router.add_rules([*ours, Rule(PathMatches(r".*"), Nothing)])
        app.default_router.rules = [Rule(AnyMatches(), app.wildcard_router)]
        kernels: Any = self.kernel_manager
        kernels.on_change, kernels.rounds = self._say, self.rounds
        self.rounds.put_out = kernels.put_out

    def init_httpserver(self) -> None:
        super().init_httpserver()  # it is bound later
        self._http_server = BoundedServer(
            self.web_app,
            ssl_options=self.ssl_options,
            xheaders=self.trust_xheaders,
            max_body_size=LARGEST,
            max_buffer_size=LARGEST_MESSAGE,
            idle_connection_timeout=IDLE_SECONDS,
            body_timeout=BODY_SECONDS,
        )

    def _say(self, kernels: int) -> None:
        say(self.home, Viewer(Process.current(), self.ip, self.port, kernels))

    def write_server_info_file(self) -> None:
        """In place of Jupyter's list of servers, with which an author's tools would take this for theirs."""
        self.access.token()
        self._say(0)

    def remove_server_info_file(self) -> None:
        (folder(self.home) / "viewer.json").unlink(missing_ok=True)

    def write_browser_open_files(self) -> None:
        """There is none."""


def _config(home: Path, options: argparse.Namespace) -> Config:
    own = folder(home)
    config = Config()
    server = config.ServerApp
    server.ip, server.port, server.port_retries = options.host, options.port, 0
    server.open_browser, server.allow_root = False, os.name == "posix" and os.geteuid() == 0
    server.root_dir = str(private_folder(own / "nothing"))
    server.cookie_secret_file = str(own / "cookie_secret")
    server.jpserver_extensions = {}
    server.terminals_enabled = False
    server.identity_provider_class = ViewerIdentity
    server.authorizer_class = ViewerAuthorizer
    server.kernel_manager_class = ViewerKernels
    server.kernel_websocket_connection_class = ViewerConnection
    config.ViewerIdentity.token = ""  # Jupyter would make one of its own
    config.ViewerIdentity.cookie_options = {"samesite": "Lax"}
    kernels = config.ViewerKernels
    kernels.allowed_message_types = list(INCOMING)
    kernels.cull_idle_timeout, kernels.cull_interval = options.idle, max(1, min(15, options.idle // 4))
    kernels.cull_busy, kernels.cull_connected, kernels.most = True, False, options.kernels
    kernels.most_each = max(1, min(8, options.kernels))
    config.KernelManager.autorestart = False  # a page whose kernel has died is loaded again
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description="Shows the published dashboards. `workbench publish` starts it.")
    parser.add_argument("--host", default=HOST, help="the address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--kernels", type=int, default=24, help="so many pages can be open (default: 24)")
    parser.add_argument("--idle", type=int, default=120, help="seconds that a kernel outlives a browser that is gone")
    options = parser.parse_args()
    home = places.home()
    os.environ.update(profile.environment(home))
    app = ViewerApp.instance(config=_config(home, options))
    app.prepare(home)
    app.initialize(argv=[], find_extensions=False)
    PeriodicCallback(app.rounds.look, 1_000 * SECONDS).start()
    PeriodicCallback(partial(shorten, log_of(home)), 60_000).start()
    app.start()


if __name__ == "__main__":
    main()
