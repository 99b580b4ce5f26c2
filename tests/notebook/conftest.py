"""A small demo shop, a shell in this process, and a real kernel."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import KernelManager
from traitlets.config import Config

from workbench import demo
from workbench.catalog import Catalog, places
from workbench.demo.shape import Shape
from workbench.notebook import profile
from workbench.query import session
from workbench.runs import Register


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's home with the connections `shop` and `web`."""
    home = tmp_path_factory.mktemp("home")
    catalog = Catalog(home)
    demo.ensure(catalog, Shape(scale=0.02))
    catalog.close()
    return home


@pytest.fixture
def shell(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    """IPython with the extension loaded, and a session of its own on that home."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("WORKBENCH_HOME", str(home))
    catalog = Catalog(home)
    monkeypatch.setattr(session, "_default", session.Session(catalog, Register(places.register(home))))
    config = Config()
    config.HistoryManager.enabled = False
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    shell.extension_manager.load_extension("workbench")
    yield shell
    shell.extension_manager.unload_extension("workbench")
    InteractiveShell.clear_instance()
    session.default().close()
    catalog.close()


class Kernel:
    """A kernel as `workbench lab` starts it."""

    def __init__(self, home: Path, folder: Path) -> None:
        environment = profile.environment(home, {**os.environ, "WORKBENCH_HOME": str(home)})
        self.folder = folder
        environment["IPYTHONDIR"] = str(folder / "ipython")
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = environment["JUPYTER_PATH"]  # where the manager looks for specifications
        try:
            self.manager = KernelManager(kernel_name="python3")
            self.manager.start_kernel(env=environment, cwd=str(folder))
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def send(self, code: str) -> str:
        return str(self.client.execute(code))

    def outputs(
        self, message: str, seen: Callable[[dict[str, Any]], object] = lambda content: None, seconds: float = 60
    ) -> list[tuple[str, dict[str, Any]]]:
        """What the cell put out until it was idle; `seen` is called with each content as it comes."""
        found: list[tuple[str, dict[str, Any]]] = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                got = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            if got["parent_header"].get("msg_id") != message:
                continue
            if got["msg_type"] == "status" and got["content"]["execution_state"] == "idle":
                return found
            found.append((got["msg_type"], got["content"]))
            seen(got["content"])
        raise AssertionError(f"the cell was not done after {seconds} s: {found}")

    def run(self, code: str) -> list[tuple[str, dict[str, Any]]]:
        return self.outputs(self.send(code))

    def text(self, code: str) -> str:
        """What the cell shows, as text; its error too."""
        shown = []
        for kind, content in self.run(code):
            if kind == "stream":
                shown.append(content["text"])
            elif kind in ("execute_result", "display_data"):
                shown.append(content["data"]["text/plain"])
            elif kind == "error":
                shown.append("\n".join(content["traceback"]))
        return "\n".join(shown)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture(scope="module")
def kernel(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(home, tmp_path_factory.mktemp("kernel"))
    yield kernel
    kernel.close()
