"""Cells whose spouts and bolts travel to other processes."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

from workbench.contract.errors import InvalidParameter, TopologyError, UsageError
from workbench.runs import Register
from workbench.streams import Topology, travelling

Run = Callable[[str], ExecutionResult]

CELL = """%%bolts shop
import os
from workbench.streams import Bolt, spout

EACH = 3

@spout("page", repeats=True)
def views():
    yield from ("/", "/cart", "/") * EACH

class Write(Bolt):
    def __init__(self, path):
        self.path = path
    def execute(self, tuple):
        with open(self.path, "a") as file:
            file.write(f"{tuple.page} {os.getpid()}\\n")
"""


@pytest.fixture
def run(shell: InteractiveShell) -> Iterator[Run]:
    before = dict(travelling._sources)
    yield lambda cell: shell.run_cell(cell)
    travelling._sources.clear()
    travelling._sources.update(before)
    for name in [name for name in sys.modules if name.startswith("workbench_bolts.")]:
        del sys.modules[name]


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    register = Register(tmp_path / "runs.sqlite")
    yield register
    register.close()


def test_a_cell_runs_here_and_in_other_processes(
    run: Run, shell: InteractiveShell, tmp_path: Path, register: Register
) -> None:
    run(CELL).raise_error()
    names = shell.user_ns
    assert names["EACH"] == 3
    assert names["Write"].__module__ == "workbench_bolts.shop"
    assert "self.path = path" in inspect.getsource(names["Write"])
    assert run("%bolts").result == ["shop"]
    run("from workbench_bolts.shop import views as again").raise_error()
    pages = tmp_path / "pages.txt"
    t = Topology("cell").spout("views", names["again"]).bolt("write", names["Write"](str(pages)), inputs="views")
    assert t.run("processes", register=register).wait(60).state == "done"
    lines = [line.split() for line in pages.read_text().splitlines()]
    assert sorted(page for page, _ in lines) == sorted(("/", "/cart", "/") * 3)
    t.run(register=register).wait(60)
    assert len(pages.read_text().splitlines()) == 18


def test_cells_may_import_each_other_in_any_order(
    run: Run, shell: InteractiveShell, tmp_path: Path, register: Register
) -> None:
    run(CELL).raise_error()
    run("%%bolts more\nfrom workbench_bolts.shop import EACH, Write\nclass Other(Write):\n    pass").raise_error()
    run(CELL).raise_error()  # again, behind the one that imports it
    pages = tmp_path / "pages.txt"
    t = Topology("cells").spout("views", shell.user_ns["views"])
    t.bolt("write", shell.user_ns["Other"](str(pages)), inputs="views")
    assert t.run("processes", register=register).wait(60).state == "done"
    assert len(pages.read_text().splitlines()) == 9


def test_a_topology_with_classes_of_before_is_refused(
    run: Run, shell: InteractiveShell, tmp_path: Path, register: Register
) -> None:
    run(CELL).raise_error()
    t = Topology("old").spout("views", shell.user_ns["views"])
    t.bolt("write", shell.user_ns["Write"](str(tmp_path / "x")), inputs="views")
    run(CELL).raise_error()
    with pytest.raises(TopologyError, match="component `views` is of an older version of its %%bolts cell"):
        t.run("processes", register=register)


def test_what_is_written_in_other_cells_is_refused_by_name(
    run: Run, shell: InteractiveShell, register: Register
) -> None:
    run(CELL).raise_error()
    run("from workbench.streams import Bolt\nclass Mine(Bolt):\n    def execute(self, tuple): pass").raise_error()
    t = Topology("mine").spout("views", shell.user_ns["views"]).bolt("mine", shell.user_ns["Mine"], inputs="views")
    with pytest.raises(TopologyError, match=r"`mine`: `Mine` is written in the notebook.*begins with `%%bolts name`"):
        t.run("processes", register=register)
    t = Topology("mine").spout("views", shell.user_ns["views"]).bolt("mine", lambda row: None, inputs="views")
    with pytest.raises(TopologyError, match=r"component `mine`.*as a lambda"):
        t.run("processes", register=register)
    assert not register.runs(active=False)


def test_the_notebooks_variables_are_refused_by_name_and_the_cell_of_before_stays(
    run: Run, shell: InteractiveShell
) -> None:
    run(CELL).raise_error()
    run("rates = {'EUR': 1.1}").raise_error()
    with pytest.raises(InvalidParameter, match=r"`%%bolts shop`: `paid` uses `rates`, which is the notebook's"):
        run("%%bolts shop\ndef paid(row):\n    return rates[row.currency]").raise_error()
    with pytest.raises(InvalidParameter, match=r"`Paid.execute.<locals>.<lambda>` uses `rates`"):
        run("%%bolts shop\nclass Paid:\n    def execute(self, row):\n        return lambda: rates").raise_error()
    failed = run("%%bolts shop\ntable = dict(rates)")
    with pytest.raises(NameError) as raised:
        failed.raise_error()
    assert raised.value.__notes__ == [
        "`rates` is the notebook's. A %%bolts cell has only what it defines and imports itself."
    ]
    assert travelling.kept()["shop"] == CELL.partition("\n")[2]
    assert sys.modules["workbench_bolts.shop"].EACH == 3
    run("%%bolts fine\nrates = 1\ndef paid(row):\n    return rates * len(row)").raise_error()
    assert shell.user_ns["rates"] == 1


@pytest.mark.parametrize("line", ["", "two words", "--keep", "a.b", "class"])
def test_a_cell_without_a_name_is_refused(run: Run, line: str) -> None:
    with pytest.raises(UsageError, match=r"no name|one as of a variable"):
        run(f"%%bolts {line}\nx = 1").raise_error()
    assert "shop" not in travelling.kept()


def test_it_says_what_it_is(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("%%bolts --help\nx = 1").raise_error()
    assert re.search(r"%%bolts NAME .*workbench_bolts\.NAME", capsys.readouterr().out, re.DOTALL)


def test_errors_in_it_show_their_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("%%bolts wrong\ndef f(row):\n    return row.nothing\n").raise_error()
    result: Any = run("f(1)")
    assert "row.nothing" in re.sub(r"\x1b\[[0-9;]*m", "", "".join(capsys.readouterr()))
    assert isinstance(result.error_in_exec, AttributeError)
