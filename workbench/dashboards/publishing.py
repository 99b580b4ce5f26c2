"""`wb.publish`."""

from __future__ import annotations

import os
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

    def __repr__(self) -> str:
        return f"{self.dashboard.title}: {self.link.partition('#')[0]}"

    def _repr_html_(self) -> str:
        link = escape(self.link.partition("#")[0], quote=True)
        text = f'<a href="{link}" target="_blank" rel="noopener">{link}</a>'
        return f"{escape(self.dashboard.title)}: {text}. <code>workbench dashboards</code> shows the link to send."


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
    home: Path, notebook: Path, name: str | None = None, host: str | None = None, port: int | None = None
) -> Published:
    """`publish` for the user whose home folder this is."""
    from workbench.catalog import places

    check(home, host, port)  # before anybody could see what was published
    dashboard = Dashboards(places.documents(home)).publish(notebook, name)
    viewer = start(home, host, port)
    return Published(dashboard, viewer.address(dashboard.name, Access(folder(home)).token()))
