"""How long `make lab` takes in a clean clone with an empty HOME, and the second time: `python -m setup.first_start`.

Clones what is committed here, runs `make lab` there, and waits until a notebook is drawn in a real browser. Only the
package managers' caches are kept (pip, uv, Yarn); Rust is fetched anew when the machine's own needs its HOME.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.jupyter import CHROMIUM_FLAGS
from tests.services.process import install

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = (("first", 180.0), ("second", 10.0))
ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|localhost):(\d+)/\S*token=\w+")
LONGEST = 900.0


def environment(home: Path) -> dict[str, str]:
    """The caller's, but HOME is empty and nothing points into the real one except the caches of package managers."""
    dropped = re.compile(r"WORKBENCH_.*|JUPYTER.*|IPYTHON.*|XDG_.*|VIRTUAL_ENV|PYTHON.*|CARGO.*|RUSTUP.*|MAKE.*")
    kept = {name: value for name, value in os.environ.items() if not dropped.fullmatch(name)}
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return {
        "PIP_CACHE_DIR": str(caches / "pip"),
        "UV_CACHE_DIR": str(caches / "uv"),
        "YARN_GLOBAL_FOLDER": str(Path.home() / ".yarn" / "berry"),
        **kept,
        "HOME": str(home),
    }


def seconds_to_a_notebook(clone: Path, env: dict[str, str], chromium: Path) -> float:
    """From the command to the first drawn cell; the server is ended again."""
    started = time.monotonic()
    lab = subprocess.Popen(
        ["make", "lab", "ARGS=--no-browser"],
        cwd=clone,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
            page = browser.new_page()
            page.goto(address(lab, started))
            page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
            took = time.monotonic() - started
            browser.close()
        return took
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(lab.pid, signal.SIGTERM)
        lab.wait(30)


def address(lab: subprocess.Popen[str], started: float) -> str:
    """The first address with a token that is printed; all that is printed is shown as it comes."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert lab.stdout is not None
        for line in lab.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        line = lines.get(timeout=max(0.0, started + LONGEST - time.monotonic()))
        if line is None:
            raise SystemExit(f"make lab ended with code {lab.wait()} before it printed an address")
        sys.stderr.write(f"{time.monotonic() - started:6.1f} s  {line}")
        found = ADDRESS.search(line)
        if found:
            wait_for_port(int(found[1]), started + LONGEST)
            return found[0]


def wait_for_port(port: int, deadline: float) -> None:
    """Jupyter prints its address a moment before it listens."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main() -> int:
    chromium = install("chromium", "chromium")
    with tempfile.TemporaryDirectory(prefix="first-start-") as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        late = False
        for name, allowed in ALLOWED:
            took = seconds_to_a_notebook(clone, environment(home), chromium)
            late = late or took > allowed
            print(f"{name} start: {took:.1f} s until a notebook is drawn (allowed {allowed:g} s)", flush=True)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
