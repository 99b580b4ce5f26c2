"""`workbench lab`: JupyterLab, with something to begin with."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path

DESCRIPTION = """\
Opens JupyterLab on this machine with the example notebooks and the demo shop.

The first start makes the demo shop (some seconds) and copies the notebooks into the folder; what is there already is
never overwritten. Lab listens on this machine only and asks for the token that it prints, as Jupyter does."""

EXAMPLES = """\
examples:
  workbench lab
  workbench lab --folder ~/analysis
  workbench lab --no-browser --port 9999

Options that are not listed here go to `jupyter lab`."""

PASSES_ON = True


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=Path("~/workbench"), help="where to work (default: ~/workbench)")
    parser.add_argument("--no-demo", action="store_true", help="do not make the demo shop")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser; the address is printed")


def run(options: argparse.Namespace) -> int:
    from workbench.contract.errors import UsageError

    if importlib.util.find_spec("jupyterlab") is None:
        raise UsageError("JupyterLab is not installed here: pip install jupyterlab.")
    folder = options.folder.expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    new = not options.no_demo and _demo()
    first = _copy_notebooks(folder)
    command, environment = _command(folder, first, options.no_browser, options.passed)
    if new:
        environment["WORKBENCH_NEW_DEMO"] = "1"
    print(f"Starting JupyterLab in {folder}. Ctrl-C here ends it.", flush=True)
    if os.name == "posix":
        os.execve(sys.executable, command, environment)
    import subprocess

    return subprocess.call(command, env=environment)


def _demo() -> bool:
    """Makes the demo shop; whether it was not there before."""
    from workbench import demo
    from workbench.catalog import Catalog, places
    from workbench.cli.screen import ProgressLine

    catalog, progress = Catalog(), ProgressLine(log=sys.stdout)
    new = not places.demo(catalog.home).exists()
    if new:
        print("Making the demo shop: customers, orders, and ninety days of events.", flush=True)
    try:
        made = demo.ensure(catalog, progress=progress.report)
    finally:
        progress.clear()
        catalog.close()
    for note in made.notes:
        print(note)
    return new


def _copy_notebooks(folder: Path) -> str | None:
    """Copies those that are not there; the name of the one to open first."""
    from workbench.demo.examples import examples

    source = examples()
    if source is None:
        return None
    names = sorted(path.name for path in source.glob("*.ipynb"))
    for name in names:
        try:
            with open(folder / name, "xb") as file:
                file.write((source / name).read_bytes())
        except FileExistsError:
            continue  # it is the user's now
    return names[0]


def _command(folder: Path, first: str | None, quiet: bool, passed: list[str]) -> tuple[list[str], dict[str, str]]:
    from workbench.notebook import profile

    environment = profile.environment(base=_settings())
    command = [
        sys.executable, "-m", "workbench.notebook.server", "--ip=127.0.0.1", f"--ServerApp.root_dir={folder}",
        # The language server is not used here, and costs a good part of the start.
        "--ServerApp.jpserver_extensions=jupyter_lsp=False",
        # Dashboards have a server of their own; beside an author's files Voila would show any notebook to any page.
        "--ServerApp.jpserver_extensions=voila.server_extension=False",
        # Nothing is installed from within Lab; asking the package index costs another second.
        "--LabApp.extension_manager=readonly",
        # The first cell need not wait until a kernel has imported what it is made of.
        "--ServerApp.kernel_manager_class=workbench.notebook.kernels.WarmKernels",
    ]  # fmt: skip
    if first:
        command.append(f"--LabApp.default_url=/lab/tree/{first}")
    if quiet:
        command.append("--ServerApp.open_browser=False")  # `--no-browser` is told to all extensions, and they complain
    if os.name == "posix" and os.geteuid() == 0:
        command.append("--allow-root")
    return command + passed, environment


_NOT_IN_LAB = (
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/lsp-extension",
    "@jupyterlab/notebook-extension:language-server",
    "@jupyterlab/fileeditor-extension:language-server",
)


def _settings() -> dict[str, str]:
    """The environment, with a settings folder of our own behind the user's: without it Lab asks on its first start
    whether it may fetch news, in a dialog over the notebook; and for the language server that is not there."""
    from workbench.catalog import places
    from workbench.documents.private import private_folder, write_private

    quiet = {"disabledExtensions": dict.fromkeys(_NOT_IN_LAB, True)}
    base = places.home() / "jupyter"
    target = base / "labconfig" / "page_config.json"
    private_folder(target.parent)
    write_private(target, json.dumps(quiet).encode())
    before = os.environ.get("JUPYTER_CONFIG_PATH", "")
    heard = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # else each kernel begins with four lines on frozen modules
    return {**heard, **os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, (before, str(base))))}
