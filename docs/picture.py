"""Makes the README's picture from a real browser: `python -m docs.picture` (needs Debian's Chromium, as the tests do).

One SQL cell over two stores of the demo shop, its result, and what each source was sent.
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

PICTURE = Path(__file__).parent / "_static" / "first-look.png"
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
            PICTURE.parent.mkdir(exist_ok=True)
            lab.page.screenshot(path=PICTURE)
        finally:
            browser.close()
            server.close()
    print(f"{PICTURE.name}: {PICTURE.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
