"""What a viewer's browser is shown: the list, the dashboards, and a plain sentence where there is neither."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from http.client import responses
from typing import Any

import jinja2
from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.handlers import KernelHandler
from tornado import iostream, web
from traitlets.config import Config

from workbench.contract.errors import InvalidParameter, LimitExceeded, UnknownName, WorkbenchError
from workbench.dashboards.parameters import given
from workbench.dashboards.published import Dashboard, Dashboards
from workbench.dashboards.rendering import PAGES, page, voila_configuration
from workbench.server.viewer_kernels import ViewerKernels
from workbench.server.viewer_rounds import OUT

__all__ = ["DashboardPage", "EndKernel", "List", "Nothing", "OneKernel", "Pages"]

_TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(PAGES), autoescape=True)
_ALIVE_SECONDS = 10.0
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
"""Widgets are scripts, so scripts run; but nothing is fetched from elsewhere, and nothing sent there."""


_NOTHING = "This address shows nothing."
_BUSY = "As many dashboards are open as can be. Close one, or try again in a minute."
_MESSAGES = {
    400: ("The link does not fit", "Mend the address, or ask whoever sent you the link."),
    403: ("Not allowed", "Viewers look at dashboards, and do nothing else."),
    404: ("Not there", "This dashboard is not published, or not any more. Ask whoever sent you the link."),
    500: ("It does not work", "The dashboard cannot be shown. Its author finds the reason in the viewer's log."),
    503: ("Many are looking", _BUSY),
}


class Pages(JupyterHandler):
    auth_resource = "dashboards"

    @property
    def dashboards(self) -> Dashboards:
        found: Dashboards = self.settings["workbench_dashboards"]
        return found

    @property
    def kernels(self) -> ViewerKernels:
        found: ViewerKernels = self.settings["kernel_manager"]
        return found

    @property
    def content_security_policy(self) -> str:
        return _POLICY

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "same-origin")

    def show(self, template: str, **given: Any) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(_TEMPLATES.get_template(template).render(base=self.base_url, **given))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        heading, text = _MESSAGES.get(status_code, (responses.get(status_code, "It does not work"), _NOTHING))
        if isinstance(error, InvalidParameter):
            text = f"{error} {text}"
        home = self.base_url if self.current_user else None
        self.show("message.html", heading=heading, text=text, home=home)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, WorkbenchError):
            status = ((UnknownName, 404), (InvalidParameter, 400), (LimitExceeded, 503))
            status_code = next((code for kind, code in status if isinstance(error, kind)), 500)
        super().send_error(status_code, **kwargs)

    def log_exception(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, WorkbenchError):
            self.log.warning("workbench: %s was not shown: %s", self.request.path, error)
        else:
            super().log_exception(kind, error, traceback)


class List(Pages):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        found = await asyncio.to_thread(self._found)
        self.show("index.html", dashboards=found)

    def _found(self) -> list[dict[str, str]]:
        shown = []
        for name in self.dashboards.names():
            try:
                one = self.dashboards.get(name)
            except WorkbenchError as error:
                self.log.warning("%s", error)
                continue
            when = time.strftime("%d %B %Y, %H:%M", time.localtime(one.published))
            shown.append({"name": name, "title": one.title, "when": when})
        return shown


class DashboardPage(Pages):
    """The page goes out piece by piece while the notebook runs. When the browser goes away meanwhile, so does the
    kernel."""

    kernel_id = ""
    gone = False
    ending: asyncio.Future[None] | None = None

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        dashboard = await asyncio.to_thread(self.dashboards.get, name)
        sent = {
            key: [text.decode(errors="replace") for text in texts]
            for key, texts in self.request.query_arguments.items()
        }
        theme = sent.pop("theme", ["light"])
        if theme not in (["light"], ["dark"]):
            raise InvalidParameter("theme", "must be light or dark.")
        values = given(dashboard.parameters, sent)
        self.kernels.check_room(self.current_user.username)
        _ = self.xsrf_token  # sets the cookie that the page needs to say that it closes
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")
        ticking = asyncio.ensure_future(self._stay_alive())
        try:
            await self._write(dashboard, theme[0], values)
        finally:
            ticking.cancel()

    async def _write(self, dashboard: Dashboard, theme: str, values: dict[str, Any]) -> None:
        kernels = self.kernels

        async def start() -> tuple[str, Any]:
            self.kernel_id = await kernels.open(dashboard, values, self.current_user.username, theme)
            if self.gone:
                raise iostream.StreamClosedError
            return self.kernel_id, kernels.get_kernel(self.kernel_id)

        try:
            async for piece in page(dashboard, theme, values, start, self, voila_configuration(Config(self.config))):
                self.write(piece)
                await self.flush()
            kernels.rendered(self.kernel_id)
        except iostream.StreamClosedError:
            await kernels.end(self.kernel_id)
        except Exception as error:
            self.log.exception("Dashboard %s has failed", dashboard.name)
            await kernels.end(self.kernel_id)
            if not self._headers_written:
                raise
            busy = isinstance(error, LimitExceeded)
            text = (
                "As many dashboards are open as can be: try again in a minute." if busy else "It could not be started."
            )
            with contextlib.suppress(iostream.StreamClosedError):
                self.write(f"<script>window.wb_failed({text!r})</script>")
                await self.finish()

    async def _stay_alive(self) -> None:
        """A cell may take long, and proxies end a connection on which nothing comes."""
        while True:
            await asyncio.sleep(_ALIVE_SECONDS)
            if self._headers_written and not self._finished:
                self.write("\n")
                with contextlib.suppress(iostream.StreamClosedError):
                    await self.flush()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.gone = True
        if self.kernel_id:
            self.ending = asyncio.ensure_future(self.kernels.end(self.kernel_id))


class OneKernel(KernelHandler):
    """Whether a page's kernel is still there, or why not."""

    SUPPORTED_METHODS = ("GET",)

    @allow_unauthenticated
    async def get(self, kernel_id: str) -> None:
        kernels: ViewerKernels = self.settings["kernel_manager"]
        user = self.current_user
        if why := kernels.why_ended(kernel_id, user.username) if user is not None else OUT:
            self.set_status(410 if user is not None else 403)
            self.finish(json.dumps({"why": why}))
            return
        given: Any = super().get(kernel_id)
        await given


class EndKernel(Pages):
    """What a page says when it closes."""

    SUPPORTED_METHODS = ("POST",)

    @web.authenticated
    async def post(self, kernel_id: str) -> None:
        if not self.kernels.is_of(kernel_id, self.current_user.username):
            raise web.HTTPError(404)
        await self.kernels.end(kernel_id)
        self.set_status(204)
        self.finish()


class Nothing(Pages):
    """Every other address, whatever the verb."""

    async def prepare(self, **options: Any) -> None:
        await super().prepare(**options)
        if not self._finished:
            raise web.HTTPError(404)

    def check_xsrf_cookie(self) -> None:
        """There is nothing to protect."""
