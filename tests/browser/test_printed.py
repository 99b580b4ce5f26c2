"""What cells print, drawn as it comes: text, colours and links as Lab draws them, and all of it in the file."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings, strategies as st
from playwright.sync_api import Locator, Page, expect

from tests.browser.jupyter import LabPage

LONG = """import sys
for number in range(26_000):
    print(f"{number:6d} \\x1b[3{number % 8}m{'y' * 80}\\x1b[0m" if number % 100 == 0 else f"{number:6d} {'y' * 86}")
for number in range(500):
    print(f"\\r{number} of 500", end="")
print("\\rdone\\b\\b and https://example.org/a?b=1, too")
print("on the side", file=sys.stderr)"""
SAVE = """async () => {
  await window.jupyterapp.commands.execute('docmanager:save');
}"""
# The same pieces to a renderer of ours and, at once, to Lab's own; of both what each run of characters looks like.
BOTH = """async steps => {
  const {rendermime} = window.jupyterapp.shell.currentWidget.content;
  const slots = [];
  const streamText = {text: 'line\\n'.repeat(14000), changed: {
    connect: (slot, that) => slots.push([slot, that]),
    disconnect: slot => slots.splice(slots.findIndex(one => one[0] === slot), 1),
  }};
  const type = 'application/vnd.jupyter.stdout';
  const model = {type: 'stream', metadata: {}, trusted: true, streamText, get data() {
    return {[type]: streamText.text, 'text/plain': streamText.text};
  }};
  const frame = () => new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
  const ours = rendermime.createRenderer(type), labs = rendermime.createRenderer('text/plain');
  await ours.renderModel(model);
  for (const step of steps) {
    const end = streamText.text.length;
    if (typeof step === 'string') {
      streamText.text += step;
      const change = {type: 'insert', start: end, end: end + step.length, value: step};
      slots.forEach(([slot, that]) => slot.call(that, null, change));
    } else if (step < 0) {
      await frame();
    } else {
      const start = Math.max(0, end - step);
      streamText.text = streamText.text.slice(0, start);
      slots.forEach(([slot, that]) => slot.call(that, null, {type: 'remove', start, end, value: ''}));
    }
    await ours.renderModel(model);
  }
  await frame();
  await labs.renderModel(model);
  const looks = root => {
    const runs = [], walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      if (!walker.currentNode.data) continue;
      const parent = walker.currentNode.parentElement, span = parent.closest('span:not(.wb-Printed-block)');
      const style = span ? span.style.color + span.style.backgroundColor : '', href = parent.closest('a')?.href ?? '';
      const look = [span?.className ?? '', style, href].join('|');
      const last = runs[runs.length - 1];
      if (last?.[0] === look) last[1] += walker.currentNode.data;
      else runs.push([look, walker.currentNode.data]);
    }
    return runs.map(([look, text]) => [look, text.slice(-3000)]);
  };
  const found = {
    ours: looks(ours.node), labs: looks(labs.node), taken: ours.node.querySelector('.wb-Printed') !== null,
    whole: ours.node.textContent === labs.node.textContent,
  };
  ours.dispose();
  labs.dispose();
  return found;
}"""
# The same messages to the outputs of the first cell, which has printed a lot, and to outputs as Lab makes them.
ADDED = """messages => {
  const {outputs} = window.jupyterapp.shell.currentWidget.content.model.cells.get(0);
  const labs = new outputs.constructor({trusted: true});
  outputs.clear();
  for (const [name, text] of messages) {
    outputs.add({output_type: 'stream', name, text});
    labs.add({output_type: 'stream', name, text});
  }
  return [Object.hasOwn(outputs, 'add'), JSON.stringify(outputs.toJSON()) === JSON.stringify(labs.toJSON())];
}"""
BROKEN = """async () => {
  const {rendermime} = window.jupyterapp.shell.currentWidget.content;
  const type = 'application/vnd.jupyter.stdout', text = 'line\\n'.repeat(14000);
  const streamText = {text, changed: {connect: () => { throw new Error('not as it was'); }, disconnect: () => {}}};
  const renderer = rendermime.createRenderer(type);
  await renderer.renderModel({type: 'stream', metadata: {}, trusted: true, streamText, data: {[type]: text}});
  return [renderer.node.querySelector('.wb-Printed') === null, renderer.node.textContent === text];
}"""

SEQUENCES: tuple[str, ...] = (
    "",
    "0",
    "1",
    "22",
    "4",
    "24",
    "7",
    "27",
    "31",
    "1;32",
    "44",
    "97",
    "103",
    "39",
    "49",
    "38;5;3",
    "38;5;120",
)
SEQUENCES += ("48;5;240", "38;2;1;2;3", "48;2;9;9;300", "38;9", "38;5", "1;x", "31;;4", "5;7;35;46")
TOKENS = st.one_of(
    st.sampled_from(("\n", "\n\n", "a line\n", "  ", "word", "<b>&amp;</b>", "é", "😀", '"', "\x1b", "\x1b[2K")),
    st.sampled_from(SEQUENCES).map(lambda codes: f"\x1b[{codes}m"),
    st.sampled_from(
        (" http://a.example/b?c=d&e#f", " www.example.org.", "(https://example.org)", " ftp://x.example/<", "://")
    ),
    st.sampled_from((3, 1_000, 40_000, 70_000)).map(lambda length: " " + "x" * length),
)
STEPS = st.lists(st.one_of(TOKENS, TOKENS, TOKENS, st.integers(-1, 40), st.just(-1)), max_size=12)


MESSAGES = st.lists(
    st.tuples(st.sampled_from(("stdout", "stdout", "stderr")), st.text(alphabet="ab\n\r\b", max_size=6)), max_size=12
)


def text_of(output: Locator) -> str:
    text: str = output.locator(".wb-Printed").evaluate("node => node.textContent")
    return text


def saved(page: Page, lab: LabPage, name: str) -> list[dict[str, str]]:
    page.evaluate(SAVE)
    outputs: list[dict[str, str]] = json.loads((lab.server.root / name).read_text())["cells"][0]["outputs"]
    return [one | {"text": "".join(one["text"])} for one in outputs]


def test_all_that_is_printed_is_in_the_file_and_one_click_away(lab: LabPage, tmp_path: Path) -> None:
    page = lab.page
    lab.open("printed.ipynb", LONG)
    lab.run(0)
    lines = [f"{n:6d} \x1b[3{n % 8}m{'y' * 80}\x1b[0m" if n % 100 == 0 else f"{n:6d} {'y' * 86}" for n in range(26_000)]
    # The progress is printed over, and of `done` two characters are deleted.
    text = "\n".join([*lines, "do and https://example.org/a?b=1, too", ""])
    out, side = saved(page, lab, "printed.ipynb")
    assert (out["name"], out["text"]) == ("stdout", text)
    assert (side["name"], side["text"]) == ("stderr", "on the side\n")
    output = lab.output(0)
    expect(output.locator(".wb-Printed-gap")).to_contain_text("lines are not shown; the notebook has them.")
    expect(output.get_by_role("link")).to_have_attribute("href", "https://example.org/a?b=1")
    plain = "\n".join(
        [*(f"{n:6d} {'y' * (80 if n % 100 == 0 else 86)}" for n in range(26_000)), *text.split("\n")[-2:]]
    )
    shown = text_of(output)
    assert len(shown) < len(plain)
    assert shown.startswith(plain[:100_000])
    assert shown.endswith(plain[-100_000:])
    output.locator(".wb-Printed").evaluate("node => document.getSelection().selectAllChildren(node)")
    page.keyboard.press("Control+c")
    assert page.evaluate("() => navigator.clipboard.readText()") == plain
    for dark in (True, False):
        lab.theme(dark=dark)
        page.screenshot(path=tmp_path / f"printed-{'dark' if dark else 'light'}.png")
    output.get_by_role("button", name="Show all").click()
    assert text_of(output) == plain


def test_it_looks_as_lab_draws_it(module_lab: LabPage) -> None:
    module_lab.open("looks.ipynb", "1 + 1")

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    @example(["\x1b[3", -1, "1mred\n", 3, -1, "\x1b["])
    def holds(steps: list[str | int]) -> None:
        found = module_lab.page.evaluate(BOTH, steps)
        assert found["taken"]
        assert found["ours"] == found["labs"]
        assert found["whole"]

    holds()


def test_the_notebook_has_what_it_had(module_lab: LabPage) -> None:
    # The last line comes in a message of its own: the outputs are looked at when more has come.
    module_lab.open("adding.ipynb", "import time\nprint('line\\n' * 20_000)\ntime.sleep(1)\nprint('more')")
    module_lab.run(0)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(MESSAGES)
    def holds(messages: list[tuple[str, str]]) -> None:
        assert module_lab.page.evaluate(ADDED, messages) == [True, True]

    holds()


def test_what_goes_wrong_is_left_to_lab(module_lab: LabPage) -> None:
    module_lab.open("broken.ipynb", "1 + 1")
    assert module_lab.page.evaluate(BROKEN) == [True, True]


def test_a_setting_turns_it_off(lab: LabPage) -> None:
    kept = lab.server.folder / "settings" / "analytics-workbench" / "plugin.jupyterlab-settings"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text('{"longOutputs": false}')
    try:
        lab.open("off.ipynb", "1 + 1")
        lab.page.wait_for_function(f"async () => !(await ({BOTH})([])).taken")
    finally:
        kept.unlink()
