"""What does the workbench add to JupyterLab's start, and when can a first cell run, beside a stock JupyterLab?

`lab_start`: the same Lab with the labextension and the server extension and without, interleaved: the server's start
until it answers, and in a headless Chromium with an empty cache from asking for the page until Lab is restored; and
the script that the extension has loaded by then.

`lab_ready_vs_stock`: `workbench lab` beside `jupyter lab` of an environment with JupyterLab alone, all files
warm: from the command until a notebook's kernel has run a cell, asked over HTTP and its socket as the page does.
`lab_cell_vs_stock` is the same in the browser, which has the drawing of Lab's page in it on both sides;
`lab_next_vs_stock` from opening another notebook there until its first cell has run.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests
import websocket
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.harness import arguments, environment, figure
from tests.browser.jupyter import CHROMIUM_FLAGS, WORKBENCH_LAB, JupyterServer
from tests.services.process import install

NAME = "analytics-workbench"
PLAIN = "-m workbench.notebook.server --allow-root --no-browser --ip=127.0.0.1 --port={port} " + (
    "--ServerApp.port_retries=0 --IdentityProvider.token={token} --ServerApp.root_dir={root} "
    "--LabApp.expose_app_in_browser=True --ServerApp.jpserver_extensions=jupyter_lsp=False "
    "--ServerApp.jpserver_extensions=voila.server_extension=False "
    "--LabApp.extension_manager=readonly"
)
STOCK = "jupyterlab==4.6.6"
RESTORED = """async () => {
  while (!window.jupyterapp) await new Promise(resolve => setTimeout(resolve, 2));
  await window.jupyterapp.restored;
  return performance.now();
}"""
SCRIPT = """name => {
  const ours = performance.getEntriesByType('resource').filter(one => one.name.includes(`/extensions/${name}/`));
  return [ours.reduce((sum, one) => sum + one.decodedBodySize, 0), ours.length];
}"""
# From the kernel's first answer the cell is run as by a press of Shift-Enter; what counts is its output in the page.
FIRST_CELL = """async () => {
  while (!window.jupyterapp?.shell?.currentWidget?.sessionContext) await new Promise(r => setTimeout(r, 5));
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  await window.jupyterapp.commands.execute('notebook:run-cell');
  const cell = panel.content.model.cells.get(0);
  if (!JSON.stringify(cell.outputs.toJSON()).includes('ready 42')) throw new Error('it did not run');
}"""
OPEN = "path => window.jupyterapp.commands.execute('docmanager:open', {path})"


def without(folder: Path) -> JupyterServer:
    command = f"{PLAIN} --ServerApp.jpserver_extensions=workbench.server=False"
    config = folder / "data" / "labconfig"
    config.mkdir(parents=True)
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": {NAME: True}}))
    return JupyterServer(folder, (sys.executable, *command.split()), {"JUPYTER_CONFIG_PATH": str(folder / "data")})


def plain(folder: Path) -> JupyterServer:
    return JupyterServer(folder, (sys.executable, *PLAIN.split()))


def ours(folder: Path) -> JupyterServer:
    return JupyterServer(folder, (sys.executable, *WORKBENCH_LAB.split()))


def stock(folder: Path) -> JupyterServer:
    return JupyterServer(folder, (str(environment(STOCK)), *JupyterServer.COMMAND.split()))


def send(socket: websocket.WebSocket, kind: str, content: dict[str, Any]) -> None:
    header = {"msg_id": kind, "msg_type": kind, "username": "x", "session": "x", "version": "5.4"}
    message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
    socket.send(json.dumps(message))


def heard(socket: websocket.WebSocket, words: str, seconds: float = 60) -> None:
    """Until a message has these words. The server's pings are looked at, too: each begins the socket's own time limit
    anew."""
    until = time.monotonic() + seconds
    while words.encode() not in socket.recv_data(control_frame=True)[1]:
        if time.monotonic() > until:
            raise TimeoutError(f"{words!r} did not come within {seconds:.0f} s")


def usable(make: Callable[[Path], JupyterServer]) -> float:
    """Seconds from the command until a new notebook's kernel has put something out."""
    with tempfile.TemporaryDirectory(prefix="wb-bench-", ignore_cleanup_errors=True) as folder:
        begun = time.monotonic()
        server = make(Path(folder))
        try:
            server.write("first.ipynb", "print('ready', 6 * 7)")
            asked: Any = {
                "path": "first.ipynb",
                "name": "first.ipynb",
                "type": "notebook",
                "kernel": {"name": "python3"},
            }
            sent = {"Authorization": f"token {server.token}"}
            made = requests.post(f"{server.url}/api/sessions", json=asked, headers=sent, timeout=60).json()
            socket = websocket.create_connection(
                f"{server.url.replace('http', 'ws')}/api/kernels/{made['kernel']['id']}/channels?token={server.token}",
                timeout=60,
            )
            # As the page does: what a kernel says before it has answered this is lost between it and the server.
            send(socket, "kernel_info_request", {})
            heard(socket, "kernel_info_reply")
            content = {"code": "print('ready', 6 * 7)", "silent": False, "store_history": True, "allow_stdin": False}
            send(socket, "execute_request", content)
            heard(socket, "ready 42")
            taken = time.monotonic() - begun
            socket.close()
        finally:
            server.close()
    return taken


def page_of(browser: Browser) -> Page:
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(120_000)
    return context.new_page()


def started(browser: Browser, make: Callable[[Path], JupyterServer], loads: int = 2) -> dict[str, Any]:
    """Seconds of the server's start, milliseconds of the page's (the first load warms the server), script."""
    with tempfile.TemporaryDirectory(prefix="wb-bench-", ignore_cleanup_errors=True) as folder:
        begun = time.monotonic()
        server = make(Path(folder))
        up = time.monotonic() - begun
        try:
            restored = []
            for _ in range(loads + 1):
                page = page_of(browser)
                page.goto(f"{server.url}/lab?token={server.token}&reset", wait_until="commit")
                restored.append(float(page.evaluate(RESTORED)))
                page.wait_for_timeout(1_500)
                script, files = page.evaluate(SCRIPT, NAME)
                page.context.close()
        finally:
            server.close()
    return {"server": up * 1e3, "page": statistics.median(restored[1:]), "script": script, "files": files}


def ready(browser: Browser, make: Callable[[Path], JupyterServer]) -> tuple[float, float]:
    """Seconds from the command to the first cell's output, and from opening the second notebook to its."""
    with tempfile.TemporaryDirectory(prefix="wb-bench-", ignore_cleanup_errors=True) as folder:
        page = page_of(browser)
        begun = time.monotonic()
        server = make(Path(folder))
        try:
            address = server.write("first.ipynb", "print('ready', 6 * 7)")
            server.write("second.ipynb", "print('ready', 6 * 7)")
            page.goto(address, wait_until="commit")
            page.evaluate(FIRST_CELL)
            first = time.monotonic() - begun
            page.wait_for_timeout(6_000)
            begun = time.monotonic()
            page.evaluate(OPEN, "second.ipynb")
            page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.context?.path === 'second.ipynb'")
            page.evaluate(FIRST_CELL)
            second = time.monotonic() - begun
        finally:
            page.context.close()
            server.close()
    return first, second


def interleaved(measure: Callable[[Any], Any], sides: Sequence[Any], count: int) -> list[list[Any]]:
    """By side, its rounds; one round more, to warm up, is not counted."""
    found: list[list[Any]] = [[] for _ in sides]
    for number in range(count + 1):
        for place in [*range(number % len(sides), len(sides)), *range(number % len(sides))]:
            one = measure(sides[place])
            if number:
                found[place].append(one)
    return found


def added(with_it: list[dict[str, Any]], without_it: list[dict[str, Any]], what: str) -> float:
    return statistics.median(float(a[what] - b[what]) for a, b in zip(with_it, without_it, strict=True))


def main() -> None:
    options = arguments(__doc__).parse_args()
    environment(STOCK)
    e, f = interleaved(usable, (ours, stock), options.rounds or (1 if options.quick else 9))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=install("chromium", "chromium"), args=CHROMIUM_FLAGS)
        try:
            a, b = interleaved(
                lambda make: started(browser, make, 1 if options.quick else 2),
                (plain, without),
                options.rounds or (1 if options.quick else 9),
            )
            c, d = interleaved(
                lambda make: ready(browser, make), (ours, stock), options.rounds or (1 if options.quick else 5)
            )
        finally:
            browser.close()
    print(f"{'':22s}{'server ms':>12s}{'page ms':>12s}")
    for name, rounds in (("with the extension", a), ("without", b)):
        middle = [statistics.median(one[what] for one in rounds) for what in ("server", "page")]
        print(f"{name:22s}{middle[0]:12.0f}{middle[1]:12.0f}")
    figure("lab_start", added(a, b, "page"), "ms_added_in_the_browser")
    figure("lab_start_server", added(a, b, "server"), "ms_added_before_the_server_answers")
    figure("lab_start_script", a[-1]["script"] / 1e3, f"kB_in_{a[-1]['files']}_files")
    compared("lab_ready_vs_stock", "s_from_the_command_to_a_usable_kernel", e, f)
    compared("lab_cell_vs_stock", "s_from_the_command_to_a_cell_in_the_page", [x for x, _ in c], [x for x, _ in d])
    compared("lab_next_vs_stock", "s_from_opening_a_notebook_to_its_cell", [x for _, x in c], [x for _, x in d])


def compared(name: str, unit: str, mine: Sequence[float], theirs: Sequence[float]) -> None:
    ratio = statistics.median(x / y for x, y in zip(mine, theirs, strict=True))
    figure(name, statistics.median(mine), unit, statistics.median(theirs), ratio)


if __name__ == "__main__":
    main()
