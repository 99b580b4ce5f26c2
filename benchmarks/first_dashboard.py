"""How long, and how many clicks, from JupyterLab to the first live dashboard of the demo shop, for who has nothing yet?

With an empty home folder `workbench lab` makes the demo shop and starts; a headless Chromium opens the address that it
prints. The clock runs from Lab being up in the browser until the dashboard's figure is drawn in the tab that opened,
through the offer that the first start makes, and in another round through the launcher. Every press of the mouse is
counted in the page. The figure must answer to a control, else it is no live dashboard.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright

from benchmarks.harness import arguments, figure
from tests.browser.jupyter import CHROMIUM_FLAGS, JupyterServer
from tests.services.process import install

LAB = (
    "-m workbench.cli lab --no-browser --folder {root} --port={port} --ServerApp.port_retries=0 "
    "--IdentityProvider.token={token}"
)
COUNT = """() => {
  window.presses = 0;
  addEventListener('pointerdown', event => { if (event.isTrusted) window.presses += 1; }, true);
}"""


def by_offer(lab: Page) -> None:
    lab.get_by_role("button", name="Open its dashboard").click()


def by_launcher(lab: Page) -> None:
    lab.locator("[data-command='launcher:create']").first.click()
    lab.locator(".jp-LauncherCard", has_text="Demo dashboard").first.click()


def drawn(dashboard: Page) -> None:
    dashboard.locator(".js-plotly-plot .main-svg .barlayer .bars").first.wait_for()


def moves(dashboard: Page) -> None:
    """Another definition gives another heading."""
    dashboard.locator("select").filter(has_text="plausible").select_option("plausible")
    dashboard.locator(".js-plotly-plot", has_text="plausible").first.wait_for()


def one(context: BrowserContext, server: JupyterServer, way: Any) -> tuple[float, float, int]:
    """Seconds until Lab is up, seconds from there to the figure, presses."""
    lab = context.new_page()
    lab.add_init_script(f"({COUNT})()")
    begun = time.monotonic()
    lab.goto(f"{server.url}/lab/tree/01_first_look.ipynb?token={server.token}")
    lab.locator(".jp-Notebook .jp-Cell").first.wait_for()
    lab.locator("#jupyterlab-splash").wait_for(state="detached")
    up = time.monotonic()
    with context.expect_page() as opened:
        way(lab)
    drawn(opened.value)
    seconds, presses = time.monotonic() - up, int(lab.evaluate("window.presses"))
    moves(opened.value)
    return up - begun, seconds, presses


def measured(browser: Any, way: Any) -> tuple[float, float, float, int]:
    from workbench.dashboards.process import stop

    with tempfile.TemporaryDirectory(prefix="wb-bench-", ignore_cleanup_errors=True) as folder:
        begun = time.monotonic()
        server = JupyterServer(Path(folder), (sys.executable, *LAB.split()))
        started = time.monotonic() - begun
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(120_000)
        try:
            up, seconds, presses = one(context, server, way)
        finally:
            context.close()
            stop(Path(folder) / "workbench")
            server.close()
    return started, up, seconds, presses


def main() -> None:
    options = arguments(__doc__).parse_args()
    count = options.rounds or (1 if options.quick else 3)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=install("chromium", "chromium"), args=CHROMIUM_FLAGS)
        try:
            found = {
                name: [measured(browser, way) for _ in range(count)]
                for name, way in (("offer", by_offer), ("launcher", by_launcher))
            }
        finally:
            browser.close()
    print(f"{os.cpu_count()} cores; seconds: demo made and server up, Lab up in the browser, then to the figure")
    for name, rounds in found.items():
        for started, up, seconds, presses in rounds:
            print(f"{name:9s} {started:6.1f} {up:6.1f} {seconds:6.1f}   {presses} clicks")
    figure("first_dashboard", statistics.median(one[2] for one in found["offer"]), "s_after_lab_is_up")
    figure("first_dashboard_clicks", max(one[3] for one in found["offer"]), "clicks")
    figure("first_dashboard_launcher", statistics.median(one[2] for one in found["launcher"]), "s_after_lab_is_up")
    figure("first_dashboard_launcher_clicks", max(one[3] for one in found["launcher"]), "clicks")


if __name__ == "__main__":
    main()
