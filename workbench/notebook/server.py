"""JupyterLab's server as `workbench lab` starts it: `python -m workbench.notebook.server`, with Lab's own options.

It ends when it is told to. Jupyter's event loop stops while requests may still wait for AnyIO's worker threads; a
thread whose request never ended would wait for more work for ever, and the process with it, deaf to Ctrl-C.
"""

from __future__ import annotations

import importlib
import sys
import threading

from workbench.notebook import prepared

__all__ = ["main"]

_WORKER = "AnyIO worker thread"


def main() -> None:
    if any(word.endswith(".WarmKernels") for word in sys.argv):
        prepared.prepare()  # imports what a kernel needs while this process imports what the server does
    try:
        importlib.import_module("jupyterlab.labapp").main()
    finally:
        prepared.end()
        end_workers()


def end_workers() -> None:
    """Each worker finishes what it does now, so that a notebook which is being saved is saved, and ends."""
    for thread in threading.enumerate():
        stop = getattr(thread, "stop", None)
        if thread.name == _WORKER and callable(stop):
            stop()


if __name__ == "__main__":
    main()
