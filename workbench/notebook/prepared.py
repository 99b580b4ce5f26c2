"""A process that has imported what a kernel is made of, and waits to be told which kernel it is.

`workbench lab` starts one before it imports its own server, so that both do so side by side; the first kernel is then
there almost as soon as the server is. Whoever is not told anything ends when its server does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Prepared", "main", "prepare", "taken"]

_IMPORTED = (
    "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "ipykernel.debugger", "ipykernel.datapub",
    "IPython.core.interactiveshell", "IPython.core.magics", "IPython.extensions.storemagic",
    "workbench.notebook.completion", "workbench.notebook.faults", "workbench.notebook.figures",
    "workbench.notebook.magics", "workbench.notebook.showing",
)  # fmt: skip
_LAUNCHER = "ipykernel_launcher"
# Before anything is imported the folder that Lab was started in is off the path, as in a kernel.
_CODE = "import sys; del sys.path[0]; from workbench.notebook.prepared import main; main()"
_OWN = ("JPY_", "JUPYTER_")
"""Names of variables that Jupyter sets for a kernel, and that nothing looks at before it runs."""


class Prepared:
    """The waiting process, as the server has it. It becomes one kernel at most."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-c", _CODE],
            stdin=subprocess.PIPE,
            env={**os.environ, "JPY_PARENT_PID": str(os.getpid())},
            start_new_session=True,  # as a kernel's: an interrupt is for all that it has started
        )

    def become(self, command: Sequence[str], folder: str, environment: Mapping[str, str]) -> Any:
        """The process, which is now what `command` would have started; None where it cannot be that."""
        process = self._process
        if process is None or not self._fits(command, environment):
            return None
        self._process = None
        now = {**environment, "JPY_PARENT_PID": str(os.getpid())}
        told = {"arguments": list(command[2:]), "folder": folder, "environment": now}
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(told).encode() + b"\n")
            process.stdin.close()
        except OSError:  # it has ended
            process.wait()
            return None
        return process

    def close(self) -> None:
        """Ends it, if nobody has taken it."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.kill()
            process.wait()

    def _fits(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        before, now = ({name: value for name, value in one.items() if not name.startswith(_OWN)}
                       for one in (self._environment, environment))  # fmt: skip
        return list(command[:3]) == [sys.executable, "-m", _LAUNCHER] and before == now


_WAITING: list[Prepared] = []


def prepare() -> None:
    """Starts one for the first kernel of this process."""
    _WAITING.append(Prepared())


def taken(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> Any:
    """See `Prepared.become`."""
    return _WAITING[0].become(command, folder, environment) if _WAITING else None


def end() -> None:
    while _WAITING:
        _WAITING.pop().close()


def main() -> None:
    """In the waiting process."""
    before = set(os.environ)
    for name in _IMPORTED:
        with contextlib.suppress(ImportError):  # then the kernel does without, or says so
            importlib.import_module(name)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    told = json.loads(line)
    for name in before - told["environment"].keys():
        os.environ.pop(name, None)
    os.environ.update(told["environment"])  # what modules have set since then stays
    os.chdir(told["folder"])
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    sys.argv = [_LAUNCHER, *told["arguments"][1:]]
    importlib.import_module("ipykernel.kernelapp").launch_new_instance()
