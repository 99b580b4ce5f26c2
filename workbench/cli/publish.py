"""`workbench publish`: a notebook as a dashboard that others look at."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DESCRIPTION = """\
Publishes a copy of a notebook as a dashboard, and prints the link for whoever may look; it opens your
other dashboards, too.

Each page that is open runs the notebook anew in a process of its own, with your connections. Its viewers see what it
puts out and move its widgets; they cannot run anything, read its source, or see files. The viewer is a server of its
own that goes on when this command ends (`workbench dashboards` lists and stops). It listens on this machine only,
unless --host says otherwise."""

EXAMPLES = """\
examples:
  workbench publish notebooks/02_traffic_overview.ipynb
  workbench publish report.ipynb --name sales
  workbench publish report.ipynb --password
  workbench publish report.ipynb --host 0.0.0.0 --port 8080"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--name", help="the name in the link (default: after the file)")
    parser.add_argument("--password", action="store_true", help="ask for a password, which replaces the link's token")
    parser.add_argument("--host", help="the address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, help="the port to listen on (default: 8899, or a free one)")


def run(options: argparse.Namespace) -> int:
    from workbench.catalog import places
    from workbench.cli.screen import ProgressLine
    from workbench.dashboards.access import Access
    from workbench.dashboards.process import folder, viewer
    from workbench.dashboards.publishing import publish_at

    home = places.home()
    if options.password:
        import getpass

        Access(folder(home)).set_password(getpass.getpass("Password for all dashboards: "))
    there, line = viewer(home), ProgressLine(log=sys.stderr)
    starting = "The viewer starts, a server of its own that goes on when this command ends (some seconds)"
    made = publish_at(
        home, options.notebook, options.name, options.host, options.port, lambda: line.report(starting, None)
    )
    line.clear()
    print(f"{made.dashboard.title}: {made.link}")
    cells, runs = len(made.dashboard.notebook["cells"]), viewer(home)
    print(f"{cells} cells, which each page that is opened computes anew: it shows how far it is.")
    if runs is not None and there is None:
        print(f"The viewer is up (process {runs.process.pid}); `workbench dashboards --stop` ends it.")
    for note in made.notes:
        print(note)
    if made.dashboard.parameters:
        print(f"The address may say {', '.join(f'{name}=…' for name in made.dashboard.parameters)}, and theme=dark.")
    if "#" not in made.link:
        print("Whoever looks is asked for the password.")
    if options.host not in (None, "127.0.0.1", "localhost", "::1"):
        print("The way to it is not encrypted: put a proxy with TLS in front of it where others can listen.")
    return 0
