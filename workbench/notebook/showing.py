"""Results at the end of a cell, and the line of progress while they come.

IPython prints an error of a `_repr_html_` and goes on as if nothing had happened. So a result is brought to its
first rows before it is shown: then an error is the cell's, and Stop stops it.
"""

from __future__ import annotations

import contextlib
import html
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import Cancelled, WorkbenchError
from workbench.notebook.names import session
from workbench.query.explain import amount

if TYPE_CHECKING:
    from workbench.query.execution import Progress

__all__ = ["ProgressLine", "Shown", "described", "install"]

SHOWN_ROWS = 50
PATIENCE = 0.2
EVERY = 0.2
SOURCES_EVERY = 2.0
_MENTIONED = re.compile(r"\b(?:workbench|wb)\b|%sql")


class Shown:
    """A display hook in front of the shell's own. `over` is called when a report is shown: how far its statements were
    is of no more interest then."""

    def __init__(self, inner: Callable[..., Any], prepare: Callable[[], None], over: Callable[[], None]) -> None:
        self.inner, self._prepare, self._over = inner, prepare, over

    def __call__(self, value: Any = None) -> None:
        quiet = getattr(self.inner, "quiet", bool)  # a `;` ends the cell: nothing is shown, so nothing waits
        if _is(value, "workbench.query.result", "Result") and not quiet():
            self._prepare()
            try:
                value.head(SHOWN_ROWS, PATIENCE)
            except KeyboardInterrupt:
                # It is stopped by now, here and at the sources.
                raise Cancelled from None
            except WorkbenchError as error:
                error.statement = value.text  # type: ignore[attr-defined]  # for the caret below the place
                raise
        elif _is(value, "workbench.reports.report", "Report") and not quiet():
            self._prepare()
            try:
                value.arrow()
            except KeyboardInterrupt:
                raise Cancelled from None
            self._over()
        self.inner(value)


def _is(value: Any, module: str, name: str) -> bool:
    """Whether it is of that class; a module that is not loaded has made nothing."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


class ProgressLine:
    """A line that is rewritten: in a notebook a display that is updated, one for each cell, whatever it asks; at a
    terminal the last line of stderr."""

    def __init__(self, shell: Any, sources: Callable[[], list[str]] = list) -> None:
        self._shell, self._sources = shell, sources
        self._handle: Any = None
        self._written = 0.0
        self._asked = 0.0
        self._names: list[str] = []
        self._cell, self._seconds = -1, 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if not progress.finished and now - self._written < EVERY:
            return
        if "WORKBENCH_DASHBOARD" in os.environ:
            return  # the page says how far it is, and would keep the line for good
        self._written = now
        if self._cell != self._shell.execution_count:
            self._handle, self._cell, self._names = None, self._shell.execution_count, []
        elif progress.seconds < self._seconds:  # another statement
            self._names = []
        self._seconds = progress.seconds
        if not progress.finished and now - self._asked >= SOURCES_EVERY:
            self._asked = now
            # They only make the line nicer: what it tells of must not end for them.
            with contextlib.suppress(WorkbenchError, OSError, sqlite3.Error):
                self._names = self._sources()
        text = described(progress, [] if progress.finished else self._names)
        if getattr(self._shell, "kernel", None) is not None:
            self._display(text, progress)
        elif sys.stderr.isatty():
            sys.stderr.write("\r\x1b[2K" if progress.finished else f"\r\x1b[2K{text}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Takes this cell's line away."""
        if self._handle is not None and self._cell == self._shell.execution_count:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)
            self._handle = None

    def _display(self, text: str, progress: Progress) -> None:
        from IPython.display import DisplayHandle

        bundle = {"text/plain": text, "text/html": _bar(text, progress)}
        if self._handle is None:
            self._handle = DisplayHandle()  # type: ignore[no-untyped-call]
            self._handle.display(bundle, raw=True)
        else:
            self._handle.update(bundle, raw=True)


def described(progress: Progress, sources: list[str]) -> str:
    """`1,234,567 rows · 45.2 MB · 61 % · 3.2 s · from shop, web`."""
    parts = [f"{progress.rows:,} rows"]
    if progress.bytes:
        parts.append(amount(progress.bytes))
    if progress.fraction is not None and not progress.finished:
        parts.append(f"{progress.fraction:.0%}".replace("%", " %"))
    parts.append(f"{progress.seconds:.1f} s")
    if sources:
        parts.append(f"from {', '.join(sources)}")
    if progress.said:
        parts.append(progress.said)
    return " · ".join(parts)


def install(shell: Any) -> Callable[[], None]:
    """Puts the hook in, and the line of progress before the first result is shown or used by a cell."""
    trap = shell.display_trap
    line = ProgressLine(shell, _running_sources)

    def prepare() -> None:
        from workbench.query.session import default

        try:
            there = default()
        except (WorkbenchError, OSError):
            return  # the cell itself will say it, when it asks
        if there.on_progress is None:
            there.on_progress = line

    def before_cell(info: Any = None) -> None:
        # A cell that does not mention the product does not pay for loading it.
        if _MENTIONED.search(str(getattr(info, "raw_cell", ""))) or session() is not None:
            prepare()

    hook = Shown(trap.hook, prepare, line.clear)
    trap.hook = hook
    shell.events.register("pre_run_cell", before_cell)

    def undo() -> None:
        if trap.hook is hook:
            trap.hook = hook.inner
        shell.events.unregister("pre_run_cell", before_cell)
        there = session()
        if there is not None and there.on_progress is line:
            there.on_progress = None

    return undo


def _running_sources() -> list[str]:
    """Connections at which this process has work running now."""
    from workbench.query.session import default

    mine = [run for run in default().register.runs(active=True) if run.pid == os.getpid()]
    return sorted({work.connection for run in mine for work in run.natives})


def _bar(text: str, progress: Progress) -> str:
    bar = "" if progress.finished else "<progress></progress> "
    if progress.fraction is not None and not progress.finished:
        bar = f'<progress value="{progress.fraction:.3f}" max="1"></progress> '
    return f'<div class="workbench-progress">{bar}<small>{html.escape(text)}</small></div>'
