"""A dashboard as a page: Voila's renderer, with our template, and a kernel that starts when the page is on its way."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from traitlets.config import Config
from voila.configuration import VoilaConfiguration
from voila.notebook_renderer import NotebookRenderer
from voila.paths import collect_template_paths
from voila.utils import get_page_config

from workbench.dashboards.published import Dashboard

__all__ = ["EXTENSIONS", "PAGES", "page", "voila_configuration"]

PAGES = Path(__file__).parent / "pages"
_TEMPLATES = Path(__file__).parent / "templates"
_BASE = "lab"
EXTENSIONS = (
    "@voila-dashboards/widgets-manager8",
    "@jupyter-widgets/jupyterlab-manager",
    "anywidget",
    "jupyterlab-plotly",
)
"""The Lab extensions that a page may load."""


def voila_configuration(config: Config) -> VoilaConfiguration:
    made = VoilaConfiguration(config=config)
    made.template = _BASE
    made.strip_sources, made.show_tracebacks = True, False
    made.allow_theme_override, made.allow_template_override = "YES", "NO"
    made.file_allowlist, made.extension_allowlist = [], list(EXTENSIONS)
    return made


class _NoFiles:
    """Pictures that a text names are fetched by nobody: those in the notebook itself are shown."""

    def file_exists(self, path: str) -> bool:
        return False


class _Renderer(NotebookRenderer):  # type: ignore[misc]
    def __init__(self, dashboard: Dashboard, start: Callable[[], Awaitable[tuple[str, Any]]], **given: Any) -> None:
        super().__init__(notebook_path=f"{dashboard.name}.ipynb", contents_manager=_NoFiles(), **given)
        self._dashboard, self._start = dashboard, start

    async def load_notebook(self, path: str) -> Any:
        content = dict(self._dashboard.notebook)
        content["metadata"] = {**content["metadata"], "title": self._dashboard.title}
        return nbformat.reads(json.dumps(content), as_version=4)  # type: ignore[no-untyped-call]

    async def _jinja_kernel_start(self, nb: Any, kernel_id: Any, kernel_future: Any) -> str:
        started, manager = await self._start()

        async def same() -> Any:
            return manager

        return str(await super()._jinja_kernel_start(nb, started, same()))


async def page(
    dashboard: Dashboard,
    theme: str,
    values: Mapping[str, Any],
    start: Callable[[], Awaitable[tuple[str, Any]]],
    handler: Any,
    configuration: VoilaConfiguration,
) -> AsyncIterator[str]:
    """The page in pieces, each as soon as it is there: the first before `start` gives (kernel id, its manager), then
    one a cell. `values` are those of the address, which the page says."""
    settings, log = handler.settings, handler.log
    found = get_page_config(handler.base_url, settings, log, configuration)
    found |= {"fullMathjaxUrl": f"{handler.base_url}no-formulas.js", "mathjaxConfig": "none"}
    renderer = _Renderer(
        dashboard,
        start,
        request_handler=handler,
        voila_configuration=configuration,
        traitlet_config=handler.config,
        template_paths=[str(_TEMPLATES), *collect_template_paths(["voila", "nbconvert"], _BASE)],
        base_url=handler.base_url,
        kernel_spec_manager=handler.kernel_spec_manager,
        page_config=found,
        mathjax_url="",
        mathjax_config="",
    )
    await renderer.initialize(theme=theme)
    renderer.resources["workbench"] = {
        "title": dashboard.title,
        "asked": [(name, _said(value)) for name, value in values.items()],
        "published": time.strftime("%d %B %Y, %H:%M", time.localtime(dashboard.published)),
    }
    async for piece, _ in renderer.generate_content_generator():
        yield piece


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
