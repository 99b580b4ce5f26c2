"""`workbench dashboards`: what is published, and the viewer."""

from __future__ import annotations

import argparse
import time

DESCRIPTION = """\
Lists the published dashboards with their links, and whether the viewer runs; takes a dashboard back, or stops the
viewer with all pages that are open."""

EXAMPLES = """\
examples:
  workbench dashboards
  workbench dashboards --start
  workbench dashboards --remove sales
  workbench dashboards --new-link
  workbench dashboards --stop"""


def arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--stop", action="store_true", help="stop the viewer; what is published stays published")
    what.add_argument("--start", action="store_true", help="start the viewer again")
    what.add_argument("--remove", metavar="NAME", help="take this dashboard back")
    what.add_argument("--new-link", action="store_true", help="a new token: old links and a password end")


def run(options: argparse.Namespace) -> int:
    from workbench.catalog import places
    from workbench.cli.screen import aligned
    from workbench.dashboards import Dashboards
    from workbench.dashboards.access import Access
    from workbench.dashboards.process import folder, start, stop, viewer

    home = places.home()
    access, dashboards = Access(folder(home)), Dashboards(places.documents(home))
    if options.stop:
        print("The viewer is stopped." if stop(home) else "The viewer does not run.")
        return 0
    if options.remove is not None:
        dashboards.remove(options.remove)
        print(f"`{options.remove}` is not published any more; pages that are open end.")
        return 0
    if options.new_link:
        access.renew()
    running = start(home) if options.start else viewer(home)
    names = dashboards.names()
    if not names:
        print("Nothing is published. `workbench publish NOTEBOOK` does that.")
    else:
        token, rows = access.token(), []
        for name in names:
            one = dashboards.get(name)
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.published))
            rows.append([name, one.title, when, one.source])
        print(aligned(["name", "title", "published", "from"], rows))
        if running is not None:
            print()
            for name in names:  # in full, whatever the width: it is to be copied
                print(running.address(name, token))
    if running is None:
        print("\nThe viewer does not run: `workbench dashboards --start` starts it.")
    else:
        pages = "1 page is" if running.kernels == 1 else f"{running.kernels} pages are"
        print(f"\nThe viewer runs (process {running.process.pid}); {pages} open.")
    return 0
