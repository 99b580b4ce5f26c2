"""How long does a result of five million rows take to be seen in JupyterLab, and what does it cost the browser?

In a headless Chromium: from running the cell that makes the rows until the first are on screen; from a turn of the
wheel into the middle until its rows are painted; from a filter's form to its rows; and the memory of the browser's
processes, their own and their part of what they share, above that of the same notebook before the cell ran.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.harness import arguments, figure
from tests.browser.grid import Grid
from tests.browser.jupyter import CHROMIUM_FLAGS, JupyterServer, LabPage
from tests.services.process import install

MAKE = """%%sql
select i as id, i % 1000 as customer, (i * 7919) % 100003 / 100 as total, 'page ' || (i % 500) as page,
  ['DE', 'FR', 'US'][1 + i % 3] as country, timestamp '2026-01-01' + to_seconds(i) as at from range({rows}) t(i)"""

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


def memory(process: int) -> float:
    """MB of this process and all below it: what is theirs alone, and their part of what they share."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
            below.setdefault(parent, []).append(int(entry.name))
    total, left = 0.0, [process]
    while left:
        one = left.pop()
        left += below.get(one, [])
        try:
            rollup = (Path("/proc") / str(one) / "smaps_rollup").read_text()
            name = (Path("/proc") / str(one) / "comm").read_text()
        except OSError:
            continue
        if "chrom" in name:
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1000
    return total


def one_round(browser: Any, server: JupyterServer, rows: int, number: int) -> dict[str, list[float]]:
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(120_000)
    page = context.new_page()
    lab = LabPage(page, server)
    lab.open(f"grid{number}.ipynb", "%load_ext workbench", MAKE.format(rows=rows))
    lab.run(0)
    page.wait_for_timeout(2_000)
    session = context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    before = memory(os.getpid())
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
    assert grid.values(["id"]) == [str(shown)]
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
    session.send("HeapProfiler.collectGarbage")
    found["memory"] = [memory(os.getpid()) - before]
    context.close()
    return found


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows = 5_000_000
    with tempfile.TemporaryDirectory(prefix="wb-bench-") as folder, sync_playwright() as driver:
        server = JupyterServer(Path(folder))
        browser = driver.chromium.launch(executable_path=install("chromium", "chromium"), args=CHROMIUM_FLAGS)
        try:
            all_rounds = [
                one_round(browser, server, rows, number)
                for number in range(options.rounds or (1 if options.quick else 5))
            ]
        finally:
            browser.close()
            server.close()
    for name, unit in (("first", "ms"), ("scroll", "ms"), ("filter", "ms"), ("memory", "MB")):
        values = [value for one in all_rounds for value in one[name]]
        print(f"{name:8s} " + " ".join(f"{value:.0f}" for value in values))
        figure(f"lab_grid_{name}", statistics.median(values), unit)


if __name__ == "__main__":
    main()
