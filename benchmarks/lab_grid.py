"""How long does a result of five million rows take to be seen in JupyterLab, and what does it cost the browser?

In a headless Chromium: from running the cell that reads the rows from a DuckDB file until the first are on screen; from
a turn of the wheel into the middle until its rows are painted; from a filter's form to its rows; and the memory of the
browser's processes, their own and their part of what they share, above that of the same notebook before the cell ran.

JupySQL and jupyterlab-db-explorer run beside it, in the same browser over the same rows; what one of them cannot do has
no figure, and a line says what was seen instead.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.harness import arguments, figure
from benchmarks.lab_grid_peers import db_explorer, db_explorer_round, jupysql, jupysql_all, jupysql_round, settled
from benchmarks.lab_grid_rows import made
from tests.browser.grid import Grid
from tests.browser.jupyter import CHROMIUM_FLAGS, JupyterServer, LabPage
from tests.services.process import install

CONNECT = """%load_ext workbench
import workbench as wb
wb.connect("shop", path={path!r})"""
READ = "%%sql\nselect * from shop.events"
PEERS = {"db_explorer": "jupyterlab-db-explorer", "jupysql": "JupySQL"}

# Until the page that was asked for after `since` is painted: two frames after it came.
PAINTED = """since => new Promise(resolve => {
  const look = () => {
    const all = performance.getEntriesByType('resource');
    const come = all.filter(one => one.name.includes('/page?') && one.startTime >= since && one.responseEnd > 0);
    if (come.length === 0) {
      setTimeout(look, 2);
    } else {
      requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - since)));
    }
  };
  look();
})"""
WHEEL = """by => {
  const since = performance.now();
  const turn = new WheelEvent('wheel', {deltaY: by, bubbles: true, cancelable: true});
  document.querySelector('.wb-Canvas').dispatchEvent(turn);
  return since;
}"""


def painted(page: Page, since: float) -> float:
    return float(page.evaluate(PAINTED, since))


def now(page: Page) -> float:
    return float(page.evaluate("performance.now()"))


def ours_round(page: Page, server: JupyterServer, file: Path, rows: int, number: int) -> dict[str, list[float]]:
    lab = LabPage(page, server)
    lab.open(f"grid{number}.ipynb", CONNECT.format(path=str(file)), READ)
    lab.run(0)
    page.wait_for_timeout(2_000)
    before = settled(page, os.getpid())
    found: dict[str, list[float]] = {"scroll": [], "filter": []}
    since = now(page)
    lab.run(1)
    grid = Grid(lab.output(1)).wait()
    found["first"] = [painted(page, since)]
    grid.expect_count(f"{rows:,} rows")
    grid.click()
    places = [0]
    for part in (0.5, 0.25, 0.75, 0.51, 0.1):
        page.wait_for_timeout(400)
        places.append(round(rows * part))
        found["scroll"].append(painted(page, page.evaluate(WHEEL, (places[-1] - places[-2]) * 24)))
    grid.click(2)
    shown = grid.row
    assert abs(shown - places[-1]) <= 4, (shown, places)
    assert 0 <= int(grid.values(["id"])[0]) < rows  # no order was asked for
    for page_number in (17, 42, 230):
        grid.click()
        grid.to_column("page")
        page.keyboard.press("f")
        form = page.locator(".wb-Filter")
        form.get_by_label("Condition").select_option(label="=")
        form.get_by_label("Value").fill(f"page {page_number}")
        since = now(page)
        page.keyboard.press("Enter")
        found["filter"].append(painted(page, since))
        grid.expect_count(f"{rows // 500:,} of {rows:,} rows")
    grid.remove(grid.chips[0])
    for _ in range(60):
        page.evaluate(WHEEL, 24 * 1_000)
        page.wait_for_timeout(30)
    page.wait_for_timeout(1_000)
    found["memory"] = [settled(page, os.getpid()) - before]
    return found


def page_of(browser: Browser) -> Page:
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(120_000)
    return context.new_page()


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows, count = 5_000_000, options.rounds or (1 if options.quick else 5)
    bounds = (30, 2_000) if options.quick else (120, 4_000)
    found: dict[str, list[dict[str, list[float]]]] = {"ours": [], "db_explorer": [], "jupysql": []}
    with ExitStack() as stack:
        driver = stack.enter_context(sync_playwright())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wb-bench-", ignore_cleanup_errors=True)))
        places = [folder / name for name in (*found, "all")]
        for place in places:
            place.mkdir()
        file, copy = made(folder, rows)
        browser = driver.chromium.launch(executable_path=install("chromium", "chromium"), args=CHROMIUM_FLAGS)
        stack.callback(browser.close)
        servers = (JupyterServer(places[0]), db_explorer(places[1], copy, rows), jupysql(places[2]))
        for server in servers:
            stack.callback(server.close)
        rounds = (
            lambda page, number: ours_round(page, servers[0], file, rows, number),
            lambda page, number: db_explorer_round(page, servers[1], number, os.getpid()),
            lambda page, number: jupysql_round(page, servers[2], file, rows, number, os.getpid()),
        )
        for number in range(count):
            for turn in range(3):
                side = (number + turn) % 3
                page = page_of(browser)
                found[list(found)[side]].append(rounds[side](page, number))
                page.context.close()
        whole = jupysql_all(page_of(browser), places[3], file, os.getpid(), *bounds)
    report(found, rows)
    print(f"JupySQL, told to show all rows (at most {bounds[0]} s and {bounds[1] / 1e3:.0f} GB): {whole}")
    figures(found)


def report(found: dict[str, list[dict[str, list[float]]]], rows: int) -> None:
    for side, all_rounds in found.items():
        for name in ("first", "scroll", "filter", "memory"):
            values = [value for one in all_rounds for value in one.get(name, [])]
            print(f"{side:12s} {name:8s} " + (" ".join(f"{value:.0f}" for value in values) or "-"))
    for side, name in PEERS.items():
        reach = max(value for one in found[side] for value in one["reach"])
        print(f"{name}: of the {rows:,} rows of its result {reach:,.0f} could be brought on screen")
    print("JupySQL: `scroll` and `filter` are other statements, of which the first rows are shown")


def figures(found: dict[str, list[dict[str, list[float]]]]) -> None:
    for name, unit in (("first", "ms"), ("scroll", "ms"), ("filter", "ms"), ("memory", "MB")):
        middle = {
            side: statistics.median(value for one in all_rounds for value in one[name])
            for side, all_rounds in found.items()
            if name in all_rounds[0]
        }
        for side in PEERS:
            # Another statement is no scrolling; and ten rows' memory may be less than what the collector gave back.
            can = side in middle and (side, name) != ("jupysql", "scroll") and middle[side] > 0
            figure(f"lab_grid_{name}_vs_{side}", middle["ours"], unit, middle[side] if can else None)


if __name__ == "__main__":
    main()
