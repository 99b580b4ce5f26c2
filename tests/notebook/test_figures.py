"""plotly's figures have no background of their own, unless the user wants one."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOAD = "from workbench.notebook import figures; undo = figures.install(); "


def run(code: str, **environment: str) -> str:
    command = [sys.executable, "-W", "error", "-c", f"import os, sys; os.environ.update({environment!r}); {code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_plotly_is_not_imported_for_it() -> None:
    assert run(LOAD + "print([name for name in sys.modules if name.startswith('plotly')])") == "[]"


@pytest.mark.parametrize(
    "imports", ["plotly.io", "plotly.express", "plotly.graph_objects", "plotly.graph_objs as o, plotly.subplots"]
)
def test_a_figure_has_no_background_whatever_is_imported_first(imports: str) -> None:
    code = LOAD + (
        f"import {imports}; import plotly.graph_objects as go, plotly.express as px; "
        "print([f.layout.template.layout.paper_bgcolor for f in (go.Figure(), px.line(y=[1, 2]))], "
        "go.Figure().layout.template.layout.colorway[0])"
    )
    assert run(code) == "['rgba(0,0,0,0)', 'rgba(0,0,0,0)'] #636efa"


def test_plotly_that_was_there_before_gets_it_too() -> None:
    assert run("import plotly.io as pio; " + LOAD + "print(pio.templates.default)") == "workbench"


def test_a_default_of_the_user_wins_before_and_after() -> None:
    before = "import plotly.io as pio; pio.templates.default = 'ggplot2'; " + LOAD + "print(pio.templates.default)"
    assert run(before) == "ggplot2"
    after = (
        LOAD + "import plotly.io as pio; pio.templates.default = 'simple_white'; undo(); print(pio.templates.default)"
    )
    assert run(after) == "simple_white"


def test_it_is_switched_off_and_taken_back() -> None:
    show = "import plotly.io as pio; print(pio.templates.default)"
    assert run(LOAD + show, WORKBENCH_PLOTLY="off") == "plotly"
    assert run(LOAD + "undo(); " + show) == "plotly"
    assert run(LOAD + "import plotly.io as pio; undo(); print(pio.templates.default)") == "plotly"


def test_the_extension_brings_it() -> None:
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S; from workbench import notebook; "
        "shell = S.instance(); notebook.load(shell); import plotly.io as pio; print(pio.templates.default); "
        "notebook.unload(shell); print(pio.templates.default)"
    )
    assert run(code).split() == ["workbench", "plotly"]


def test_plotly_does_not_meet_a_half_imported_pandas() -> None:
    """Our thread is just importing it, slowly, when a cell imports plotly and draws."""
    code = """
import builtins, sys, threading, time
from IPython.core.interactiveshell import InteractiveShell as S
begun, original = threading.Event(), builtins.__import__
def slow(name, *more, **named):
    if threading.current_thread().name == "workbench-names" and "pandas" in sys.modules and not begun.is_set():
        begun.set()
        time.sleep(1.5)
    return original(name, *more, **named)
builtins.__import__ = slow
from workbench import notebook
notebook.load(S.instance())
assert begun.wait(30)
assert sys.modules["pandas"].__spec__._initializing
import plotly.express as px
print(px.bar(x=["a", "b"], y=[1, 2]).data[0].type, sys.modules["pandas"].__spec__._initializing)
"""
    assert run(f"exec({code!r})") == "bar False"
