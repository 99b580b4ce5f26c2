"""`workbench doctor`: what does not work here, and what to do."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

DESCRIPTION = """\
Looks at everything that a query or a notebook stands on, and says for each fault what to do: the installed packages,
the native core, files that hide a package, the keyring, connectors, saved connections, Jupyter's extensions."""

EXAMPLES = """\
examples:
  workbench doctor
  workbench doctor --offline     without trying the connections
  workbench doctor --json

The exit code is 1 when there is a fault. Run it in the folder where the trouble is: a file there may hide a package."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--offline", action="store_true", help="do not try the connections")
    parser.add_argument("--json", action="store_true", help="one object a line")


def run(options: argparse.Namespace) -> int:
    from workbench.cli.checks import State, connections, installation, notebook, run_all

    checks = [
        ("packages", installation.packages),
        ("native core", installation.native_core),
        ("imports", installation.shadows),
        ("folder", connections.folder),
        ("keyring", connections.keyring),
        ("connectors", connections.connectors),
        ("connections", connections.sources),
        ("runs", connections.runs),
        ("Lab extension", notebook.lab_extension),
        ("server extension", notebook.server_extension),
        ("magics", notebook.kernel_extension),
    ]
    if options.offline:
        checks = [check for check in checks if check[0] != "connections"]
    faults = 0
    for finding in run_all(checks):
        faults += finding.state is State.FAULT
        if options.json:
            print(json.dumps(dataclasses.asdict(finding)), flush=True)
            continue
        mark = finding.state.upper() if finding.state is State.FAULT else finding.state
        print(f"{mark:<6} {finding.subject:<16} {finding.text}", flush=True)
        if finding.way_out and finding.state is not State.OK:
            print(f"{'':<24}→ {finding.way_out}", flush=True)
    if not options.json:
        print("nothing is wrong" if not faults else f"{faults} fault{'s' if faults > 1 else ''}", file=sys.stderr)
    return 1 if faults else 0
