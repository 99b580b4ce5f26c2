"""Makes the pictures of the README and of the guide from a real browser: `python -m docs.picture` (needs Debian's
Chromium, as the tests do).

One SQL cell over two stores of the demo shop, its result, and what each source was sent; and the panel beside it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.jupyter import CHROMIUM_FLAGS, WORKBENCH_LAB, JupyterServer, LabPage
from tests.services.process import install
from workbench import demo
from workbench.catalog import Catalog

PICTURES = Path(__file__).parent / "_static"
QUERY = """%%sql funnel <<
with visits as (
    select source, count(distinct session_id) as sessions
    from web.events                -- ninety days of Parquet files
    where ts >= $first_day
    group by source
)
select v.source, sessions, count(*) as orders, sum(o.total) as revenue
from visits v
join shop.orders o using (source)  -- a database
where o.ordered_at >= $first_day
group by all
order by revenue desc
limit 5"""
CELLS = ("import datetime\n\nfirst_day = datetime.date(2026, 10, 1)", QUERY, "funnel", "funnel.explain()")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="wb-picture-") as name, sync_playwright() as driver:
        folder = Path(name)
        catalog = Catalog(folder / "workbench")
        demo.ensure(catalog)
        catalog.close()
        server = JupyterServer(folder, (sys.executable, *WORKBENCH_LAB.split()))
        browser = driver.chromium.launch(executable_path=install("chromium", "chromium"), args=CHROMIUM_FLAGS)
        try:
            lab = LabPage(browser.new_page(viewport={"width": 1100, "height": 1245}), server)
            lab.page.set_default_timeout(60_000)
            lab.open("funnel.ipynb", *CELLS)
            lab.run_all()
            lab.output(3).get_by_text("kept").first.wait_for()
            lab.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
            PICTURES.mkdir(exist_ok=True)
            lab.page.screenshot(path=PICTURES / "first-look.png")
            panel(lab)
        finally:
            browser.close()
            server.close()
    for picture in sorted(PICTURES.glob("*.png")):
        print(f"{picture.name}: {picture.stat().st_size // 1024} KiB")


def panel(lab: LabPage) -> None:
    """The side panel, with a table of the demo open."""
    lab.page.set_viewport_size({"width": 1100, "height": 760})
    lab.page.evaluate("() => window.jupyterapp.commands.execute('workbench:open')")
    for row in ("shop", "orders"):
        lab.page.locator(".wb-Row-name").get_by_text(row, exact=True).click()
    lab.page.locator(".wb-Row-name").get_by_text("order_id", exact=True).wait_for()
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.scrollToItem(0)")
    lab.page.locator(".wb-Tree").blur()
    lab.page.mouse.move(700, 700)
    lab.page.screenshot(path=PICTURES / "panel.png")


if __name__ == "__main__":
    main()
