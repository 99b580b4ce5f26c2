"""The kernel of `workbench lab`: the environment's Python with the magics loaded.

It is a kernel specification of the name `python3` in a folder of ours, found before the environment's own one. So
notebooks name the kernel that everybody has, and open anywhere; the user's own IPython profile is neither read
differently nor written.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["environment", "install"]


def install(home: Path | None = None) -> Path:
    """Writes the kernel specification below `home` (default: `places.home()`); gives the folder for `JUPYTER_PATH`."""
    from workbench.catalog import places
    from workbench.documents.private import private_folder

    folder = private_folder((home or places.home()) / "jupyter")
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True, exist_ok=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "--ext", "workbench", "-f", "{connection_file}"],
        "display_name": "Python 3 (Analytics Workbench)",
        "language": "python",
        "metadata": {"debugger": True},
        "kernel_protocol_version": "5.5",
    }
    text = json.dumps(spec, indent=1)
    file = kernel / "kernel.json"
    if not file.exists() or file.read_text() != text:
        # Another Lab may just read it: it sees the old one or the new one.
        half = kernel / f".kernel-{os.getpid()}.json"
        half.write_text(text)
        os.replace(half, file)
    return folder


def environment(home: Path | None = None, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`base` with the folder of `install` put first into `JUPYTER_PATH`: what Lab is started with."""
    folder = str(install(home))
    others = [path for path in base.get("JUPYTER_PATH", "").split(os.pathsep) if path and path != folder]
    return {**base, "JUPYTER_PATH": os.pathsep.join([folder, *others])}
