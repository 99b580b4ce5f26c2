"""How long from an event in a topology until its chart shows it, in JupyterLab, and how soon is Stop answered?

In a headless Chromium: a topology in the notebook's kernel makes 20 events a second, each ten points of three lines of
a thousand; the time is from an event's making until the frame in which it is drawn is on screen. While nothing else
runs, while a cell spins, and while a cell prints 2 MB a second; how many frames Lab itself paints while it prints, with
no view in the page, is counted, too. Frames are numbered, and those that are missing are counted. Then Stop of a
topology's view while a cell spins: from the click until the page says that it has stopped.

Beside it, in the same browser and the same run, plotly's `FigureWidget` and Perspective, fed from a thread with the
same points at the same rate, in a Lab of an environment of their own. What they do not paint before the end has no
time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.harness import HERE, arguments, environment, figure
from benchmarks.lab_grid import page_of
from tests.browser.jupyter import CHROMIUM_FLAGS, WORKBENCH_LAB, JupyterServer, LabPage
from tests.services.process import install

PEERS = ("jupyterlab==4.6.6", "ipywidgets==8.1.9", "anywidget==0.11.0", "plotly==7.1.0", "perspective-python==5.6.1",
         "pandas", "numpy")  # fmt: skip
BEGIN = f"""import sys, threading
sys.path.insert(0, {str(HERE.parent)!r})
import workbench as wb
from benchmarks.workers import live_engine
over = threading.Event()
run = live_engine.started(over)
wb.view(live_engine.views(run))"""
SPIN = "while True:\n    pass"
PRINT = """import time
while True:
    print(("y" * 99 + "\\n") * 200)
    time.sleep(0.01)"""
CHATTER = """import threading, itertools, time
import workbench as wb
from workbench.streams import Topology
def chatter():
    for number in itertools.count():
        yield (number,)
        time.sleep(0.002)
t = Topology("chatter").spout("chatter", chatter, outputs=("number",))
run = t.bolt("take", lambda row: None, inputs="chatter").run()
wb.view(run)"""

# Every frame of the topic, as it comes over the socket: before any script of the page.
FRAMES = """() => {
  const seen = window.__frames = {last: {}, lost: 0, count: 0};
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...given) {
      super(...given);
      if (String(given[0]).includes('workbench/api/live')) {
        this.addEventListener('message', ({data}) => {
          const frame = JSON.parse(data);
          if (!/views/.test(frame.topic ?? '')) return;
          if (frame.change || frame.append) {
            seen.count++;
            if ((frame.after ?? frame.number - 1) !== seen.last[frame.topic]) seen.lost++;
          }
          if (frame.number !== undefined) seen.last[frame.topic] = frame.number;
        });
      }
    }
  };
}"""
# The number changes in the frame in which the chart is drawn; a task after its animation frame, that is on screen.
LATENCIES = """() => {
  const node = document.querySelector('.wb-Number'), found = window.__late = [];
  new MutationObserver(() => {
    const made = Number(node.dataset.value);
    requestAnimationFrame(() => setTimeout(() => found.push(performance.timeOrigin + performance.now() - made)));
  }).observe(node, {attributes: true, attributeFilter: ['data-value']});
}"""
PAINTED = """() => {
  window.__painted = 0;
  const next = () => {
    window.__painted++;
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}"""
STOP = """async () => {
  const view = document.querySelector('.wb-Topology');
  const since = performance.now();
  view.querySelector('.wb-mod-stop').click();
  while (view.querySelector('.wb-Badge').dataset.state !== 'stopped') {
    if (performance.now() - since > 60000) throw new Error('it was not stopped');
    await new Promise(resolve => setTimeout(resolve, 1));
  }
  await new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
  return performance.now() - since;
}"""
START = """number => {
  const {commands, shell} = window.jupyterapp;
  shell.currentWidget.content.activeCellIndex = number;
  shell.currentWidget.content.deselectAll();
  void commands.execute('notebook:run-cell');
}"""

PUSH = """import math, threading, time
def points():
    sent = 1000 * time.time()
    ats = [math.floor(sent) + number * 5 for number in range(10)]
    return sent, ats, [[2 + math.sin(at / 500 + line) for at in ats] for line in range(3)]
def pump(send, seconds):
    def go():
        begun = due = time.perf_counter()
        while time.perf_counter() < begun + seconds:
            send(*points())
            due += 1 / 20
            time.sleep(max(0, due - time.perf_counter()))
    threading.Thread(target=go, daemon=True).start()"""
PLOTLY = """import plotly.graph_objects as go
lines = [[2.0] * 1000 for _ in range(3)]
scatters = [go.Scatter(y=line, mode="lines") for line in lines]
figure = go.FigureWidget(scatters, layout=dict(width=700, height=260, meta=0))
def send(sent, ats, values):
    with figure.batch_update():
        for number in range(3):
            lines[number] = [*lines[number][10:], *values[number]]
            figure.data[number].y = lines[number]
        figure.layout.meta = sent
figure"""
PERSPECTIVE = """import perspective, perspective.widget
columns = {"at": "float", "sent": "float", "y0": "float", "y1": "float", "y2": "float"}
table = perspective.Server().new_local_client().table(columns, limit=1000)
def send(sent, ats, values):
    table.update({"at": ats, "sent": [sent] * 10, **{f"y{number}": values[number] for number in range(3)}})
perspective.widget.PerspectiveWidget(table, plugin="Datagrid", binding_mode="client-server")"""
PLOTLY_LATE = """() => {
  const graph = document.querySelector('.js-plotly-plot'), found = window.__late = [];
  let last = 0;
  graph.on('plotly_afterplot', () => {
    const made = graph.layout.meta;
    if (!made || made === last) return;
    last = made;
    requestAnimationFrame(() => setTimeout(() => found.push(performance.timeOrigin + performance.now() - made)));
  });
}"""
PERSPECTIVE_LATE = """async () => {
  const found = window.__late = [], viewer = document.querySelector('perspective-viewer');
  const view = await (await viewer.getTable()).view();
  let busy = false;
  view.on_update(async () => {
    if (busy) return;
    busy = true;
    const rows = await view.num_rows();
    const {sent} = await view.to_columns({start_row: Math.max(0, rows - 1)});
    requestAnimationFrame(() => setTimeout(() => {
      busy = false;
      found.push(performance.timeOrigin + performance.now() - sent[sent.length - 1]);
    }));
  });
}"""


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def ours(
    browser: Browser, server: JupyterServer, busy: str, seconds: float, number: int
) -> tuple[list[float], int, int]:
    """Latencies, numbers that are missing, and frames."""
    page = page_of(browser)
    page.add_init_script(f"({FRAMES})()")
    lab = LabPage(page, server)
    lab.open(f"live{number}.ipynb", BEGIN, busy or "1 + 1")
    lab.run(0)
    page.locator(".wb-Series canvas").wait_for()
    page.evaluate(START, 1)
    page.wait_for_timeout(2_000)
    page.evaluate("() => { window.__frames.lost = window.__frames.count = 0; }")
    page.evaluate(LATENCIES)
    page.wait_for_timeout(1_000 * seconds)
    late, seen = page.evaluate("() => [window.__late, window.__frames]")
    closed(page)
    return late, seen["lost"], seen["count"]


def frames_alone(browser: Browser, server: JupyterServer, busy: str, seconds: float, number: int) -> float:
    """What the page paints in a second while that cell runs, without a view: no view in it can do more."""
    page = page_of(browser)
    lab = LabPage(page, server)
    lab.open(f"alone{number}.ipynb", "1 + 1", busy)
    lab.run(0)
    page.evaluate(START, 1)
    page.wait_for_timeout(2_000)
    page.evaluate(PAINTED)
    page.wait_for_timeout(1_000 * seconds)
    painted = float(page.evaluate("() => window.__painted"))
    closed(page)
    return painted / seconds


def stopped(browser: Browser, server: JupyterServer, number: int) -> float:
    page = page_of(browser)
    lab = LabPage(page, server)
    lab.open(f"stop{number}.ipynb", CHATTER, SPIN)
    lab.run(0)
    page.locator(".wb-Topology .wb-Badge[data-state=running]").wait_for()
    page.evaluate(START, 1)
    page.wait_for_timeout(1_500)
    passed = float(page.evaluate(STOP))
    closed(page)
    return passed


def peer(browser: Browser, server: JupyterServer, name: str, seconds: float, number: int) -> list[float]:
    made, ready, hook = {
        "plotly": (PLOTLY, ".js-plotly-plot .main-svg", PLOTLY_LATE),
        "perspective": (PERSPECTIVE, "perspective-viewer", PERSPECTIVE_LATE),
    }[name]
    page = page_of(browser)
    lab = LabPage(page, server)
    lab.open(f"{name}{number}.ipynb", PUSH, made, f"pump(send, {seconds})")
    lab.run(0)
    lab.run(1)
    page.locator(ready).first.wait_for(state="attached")
    page.wait_for_timeout(4_000)
    page.evaluate(hook)
    lab.run(2)
    page.wait_for_timeout(1_000 * (seconds + 3))
    late: list[float] = page.evaluate("() => window.__late")
    closed(page)
    return late


def closed(page: Page) -> None:
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.context.close()


def main() -> None:
    options = arguments(__doc__).parse_args()
    count, seconds = options.rounds or (1 if options.quick else 3), 8.0 if options.quick else 20.0
    found: dict[str, Any] = {name: [] for name in ("idle", "spinning", "printing", "plotly", "perspective")}
    lost, frames, stops, alone = 0, 0, list[float](), list[float]()
    with ExitStack() as stack:
        driver = stack.enter_context(sync_playwright())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wb-bench-", ignore_cleanup_errors=True)))
        for name in ("ours", "peers"):
            (folder / name).mkdir()
        browser = driver.chromium.launch(executable_path=install("chromium", "chromium"), args=CHROMIUM_FLAGS)
        stack.callback(browser.close)
        mine = JupyterServer(folder / "ours", (sys.executable, *WORKBENCH_LAB.split()))
        stack.callback(mine.close)
        others = JupyterServer(folder / "peers", (str(environment(*PEERS)), *JupyterServer.COMMAND.split()))
        stack.callback(others.close)
        for number in range(count):
            for name, busy in (("idle", ""), ("spinning", SPIN), ("printing", PRINT)):
                late, missing, came = ours(browser, mine, busy, seconds, 10 * number + len(name))
                found[name] += late
                lost, frames = lost + missing, frames + came
            for name in ("plotly", "perspective"):
                found[name] += peer(browser, others, name, seconds, number)
            alone.append(frames_alone(browser, mine, PRINT, seconds, number))
            stops += [stopped(browser, mine, 10 * number + again) for again in range(3 if options.quick else 5)]
    for name, late in found.items():
        rate = len(late) / (count * seconds)
        p50, p99 = quantile(late, 0.5), quantile(late, 0.99)
        print(f"{name:12s} {rate:5.1f} painted a second, p50 {p50:7.1f} ms, p99 {p99:7.1f} ms")
    print(f"{frames} frames; Stop while a cell spins: {' '.join(f'{one:.0f}' for one in stops)} ms")
    for share, title in ((0.5, "p50"), (0.99, "p99")):
        for name in ("plotly", "perspective"):
            here, there = quantile(found["idle"], share), quantile(found[name], share)
            figure(f"live_pixel_{title}_vs_{name}", here, "ms from the event until it is on screen", there)
        for name in ("spinning", "printing"):
            figure(f"live_pixel_{title}_{name}", quantile(found[name], share), f"ms, while a cell is {name}")
    figure("live_lab_alone_printing", statistics.median(alone), "frames a second of Lab while a cell prints, no view")
    figure("live_lost", lost, "numbers that are missing")
    figure(
        "live_stop_busy", max(stops), f"ms, the slowest of {len(stops)}; the middle one {statistics.median(stops):.0f}"
    )


if __name__ == "__main__":
    main()
