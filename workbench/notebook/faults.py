"""Our errors in a cell: one paragraph that says what to do, in place of pages of traceback.

IPython asks an exception for `_render_traceback_`; all other exceptions are shown as ever.
"""

from __future__ import annotations

import linecache
import re
import sys
import textwrap
import traceback
from collections.abc import Callable
from typing import Any

from workbench.contract.errors import WorkbenchError

__all__ = ["install", "rendered"]

_HOOK = "_render_traceback_"
# No colour: Lab puts a red ground below it, of which bold stands out in dark and light themes alike.
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_WIDEST = 100
_WIDTH = 90
_PLACE = re.compile(r"\(line (\d+), column (\d+)\)")
_SECRET = re.compile(r"://|secret|passw|token", re.IGNORECASE)


def install() -> Callable[[], None]:
    """For all shells of the process; the function that is returned takes it back."""
    setattr(WorkbenchError, _HOOK, rendered)
    return lambda: delattr(WorkbenchError, _HOOK) if hasattr(WorkbenchError, _HOOK) else None


def rendered(error: WorkbenchError) -> list[str]:
    """Lines for the cell: what happened, where in the statement, and where in the cell."""
    name = type(error).__name__
    lines = _wrapped(f"{name}: {error}")
    lines[0] = lines[0].replace(name, f"{_BOLD}{name}{_PLAIN}", 1)
    if place := _PLACE.search(str(error)):
        lines += _place(_statement(error), int(place[1]), int(place[2]))
    lines += [line for note in getattr(error, "__notes__", []) for line in _wrapped(str(note))]
    return lines + _own_line(error)


def _wrapped(text: str) -> list[str]:
    """Broken between words: Lab breaks long lines anywhere. Nothing else of it is changed."""
    wrap = textwrap.TextWrapper(
        _WIDTH, break_long_words=False, break_on_hyphens=False, expand_tabs=False, replace_whitespace=False
    )
    return [part for line in text.split("\n") for part in wrap.wrap(line) or [""]]


def _place(statement: str, line: int, column: int) -> list[str]:
    """The line of the statement, and a caret under the place."""
    written = statement.split("\n")
    if not 1 <= line <= len(written):
        return []
    text = written[line - 1].replace("\t", " ")
    at = max(0, column - 1)
    cut = max(0, at - _WIDEST // 2)
    shown = text[cut : cut + _WIDEST]
    return ["", f"    {shown}", f"    {' ' * (at - cut)}{_BOLD}^{_PLAIN}"]


def _statement(error: WorkbenchError) -> str:
    """The statement that it is about: the magic or the display says it; else it is what the session was asked."""
    told = getattr(error, "statement", None)
    if isinstance(told, str):
        return told
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__") == "workbench.query.session" and frame.f_code.co_name == "sql":
            text = frame.f_locals.get("text")
            if isinstance(text, str):
                return text
    return ""


def _own_line(error: BaseException) -> list[str]:
    """The line of the cell that led here, where it is not the SQL cell itself."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None:
        return []
    for frame, number in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if shell.compile.format_code_name(file) is None:
            continue
        code = linecache.getline(file, number).strip()
        if not code or code.startswith("get_ipython().run_cell_magic("):
            continue
        if _SECRET.search(code):
            return ["", f"Line {number} of the cell."]  # outputs are saved and shared
        return ["", f"Line {number} of the cell: {code[:_WIDEST]}"]
    return []
