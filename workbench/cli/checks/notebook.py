"""What lives in Jupyter: the extensions of JupyterLab, of its server, and of the kernels."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.cli.checks import Finding, State

__all__ = ["kernel_extension", "lab_extension", "server_extension"]

EXTENSION = "analytics-workbench"
PACKAGE = "workbench"
SERVER = f"{PACKAGE}.server"  # a key of Jupyter's settings; nothing here imports that room


def lab_extension() -> Iterator[Finding]:
    """JupyterLab's extension: there, of this version, whole, and not switched off."""
    if importlib.util.find_spec("jupyterlab") is None:
        yield Finding("Lab extension", State.NOTE, "JupyterLab is not installed here", "pip install jupyterlab")
        return
    from jupyter_core.paths import jupyter_path
    from jupyterlab_server.config import get_federated_extensions, get_page_config

    from workbench import __version__

    paths = jupyter_path("labextensions")
    found = get_federated_extensions(paths).get(EXTENSION)
    again = "Install the package again (in the repository: make setup), and load Lab's page anew."
    if found is None:
        yield Finding("Lab extension", State.FAULT, f"is in none of {', '.join(paths)}", again)
        return
    folder = Path(found["ext_path"])
    entry = found.get("jupyterlab", {}).get("_build", {}).get("load", "")
    if not entry or not (folder / entry).is_file():
        yield Finding("Lab extension", State.FAULT, f"{folder} is not whole: {entry or 'its entry'} is missing", again)
        return
    if found["version"] != __version__:
        text = f"{folder} is of version {found['version']}, this package of {__version__}"
        yield Finding("Lab extension", State.FAULT, text, again)
        return
    off = get_page_config(paths).get("disabledExtensions", [])
    names = [name for name, value in off.items() if value] if isinstance(off, dict) else list(off)
    mine = [name for name in names if name == EXTENSION or name.startswith(f"{EXTENSION}:")]
    if mine:
        way_out = f"jupyter labextension enable {mine[0]}"
        yield Finding("Lab extension", State.FAULT, f"{mine[0]} is switched off, so it is not loaded", way_out)
        return
    yield Finding("Lab extension", State.OK, str(folder))


def server_extension() -> Iterator[Finding]:
    """Jupyter's server: whether it loads our extension, which the panels ask."""
    subject = "server extension"
    if importlib.util.find_spec("jupyter_server") is None:
        yield Finding(subject, State.NOTE, "Jupyter's server is not installed here", "pip install jupyterlab")
        return
    from jupyter_core.paths import jupyter_config_path
    from jupyter_server.extension.config import ExtensionConfigManager

    paths = jupyter_config_path()
    manager: Any = ExtensionConfigManager(read_config_path=paths)
    listed = manager.get_jpserver_extensions()
    if SERVER not in listed:
        again = "Install the package again (in the repository: make setup), and start Lab again."
        yield Finding(subject, State.FAULT, f"{SERVER} is named in none of {', '.join(paths)}", again)
        return
    if not listed[SERVER]:
        way_out = f"jupyter server extension enable {SERVER}"
        yield Finding(subject, State.FAULT, f"{SERVER} is switched off, so the panels have nobody to ask", way_out)
        return
    if importlib.util.find_spec(SERVER) is None:
        yield Finding(subject, State.FAULT, f"the room `{SERVER}` is missing", "Install the package again.")
        return
    yield Finding(subject, State.OK, SERVER)


def kernel_extension() -> Iterator[Finding]:
    """`%load_ext workbench`: whether it can be loaded in a kernel of this Python."""
    if importlib.util.find_spec("workbench.notebook") is None:
        yield Finding("magics", State.FAULT, "the room `workbench.notebook` is missing", "Install the package again.")
        return
    importlib.import_module("workbench.notebook")
    yield Finding("magics", State.OK, "%load_ext workbench")
