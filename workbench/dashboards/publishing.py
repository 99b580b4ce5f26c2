"""`wb.publish`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from workbench.dashboards.access import Access
from workbench.dashboards.process import check, folder, start
from workbench.dashboards.published import Dashboard, Dashboards

__all__ = ["Published", "publish", "publish_at"]


@dataclass(frozen=True, repr=False)
class Published:
    """What was published, and the `link` for whoever may look. While a password holds, the link asks for it."""

    dashboard: Dashboard
    link: str
    notes: tuple[str, ...] = ()
    """What its author may want to know of it."""

    def __repr__(self) -> str:
        return "\n".join([f"{self.dashboard.title}: {self.link.partition('#')[0]}", *self.notes])

    def _repr_html_(self) -> str:
        link = escape(self.link.partition("#")[0], quote=True)
        text = f'<a href="{link}" target="_blank" rel="noopener">{link}</a>'
        notes = "".join(f"<br>{escape(note)}" for note in self.notes)
        return (
            f"{escape(self.dashboard.title)}: {text}. <code>workbench dashboards</code> shows the link to send.{notes}"
        )


def publish(
    notebook: str | os.PathLike[str], name: str | None = None, *, host: str | None = None, port: int | None = None
) -> Published:
    """Publishes a copy of the notebook as a dashboard, in place of the one of that `name` (by default after the file),
    and starts the viewer where it does not run: on `host` (this machine only, unless said otherwise) and `port`.

    The token of the link is not shown in the notebook, which may be saved; `.link` has it. Raises UsageError.
    """
    from workbench.catalog import places

    return publish_at(places.home(), Path(notebook), name, host, port)


def publish_at(
    home: Path,
    notebook: Path,
    name: str | None = None,
    host: str | None = None,
    port: int | None = None,
    waits: Callable[[], object] = lambda: None,
) -> Published:
    """`publish` for the user whose home folder this is. `waits` is called while the viewer is waited for."""
    from workbench.catalog import places

    check(home, host, port)  # before anybody could see what was published
    dashboard = Dashboards(places.documents(home)).publish(notebook, name)
    viewer = start(home, host, port, waits)
    return Published(dashboard, viewer.address(dashboard.name, Access(folder(home)).token()), _notes(dashboard))


def _notes(dashboard: Dashboard) -> tuple[str, ...]:
    """A page is its author's notebook, run anew: of what is to be started once that is said."""
    cells = [cell["source"] for cell in dashboard.notebook["cells"] if cell["cell_type"] == "code"]
    code = "\n".join(source if isinstance(source, str) else "".join(source) for source in cells)
    if not re.search(r"^[^#\n]*\bTopology\(", code, re.MULTILINE):
        return ()
    waits = re.search(r"^[^#\n]*\.wait\(", code, re.MULTILINE)
    until = " A page is drawn when its cells are done, and one of them waits for the end of a run." if waits else ""
    return (
        "It makes a topology, so each page that is open runs one of its own. To show all viewers the one that runs in "
        f'your notebook, publish a notebook with wb.view(wb.streams.find("its name")).{until}',
    )
