"""`owner.py` as a real process, and the watchdog that it has."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import workbench
from tests.runs.waiting import until
from workbench.runs import Register

__all__ = ["PRODUCT", "Owner", "gone"]

HERE = Path(__file__).parent
PRODUCT = Path(workbench.__file__).parents[1]


class Owner:
    """`owner.py` as a real process."""

    def __init__(self, folder: Path, options: tuple[str, ...] = (), **orders: Any) -> None:
        self.log = folder / "cancelled.jsonl"
        self.register = Register(folder / "runs.db")
        plain = folder / "site"
        plain.mkdir(exist_ok=True)
        shutil.copy(HERE / "fake_source.py", plain)
        orders = {
            "register": str(self.register.path),
            "path": [str(PRODUCT), str(plain)],
            "parameters": {"log": str(self.log), "failures": orders.pop("failures", 0)},
            **orders,
        }
        self.process = subprocess.Popen(
            [sys.executable, *options, str(HERE / "owner.py"), json.dumps(orders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        said = self.hear()
        self.run, self.watchdog, self.forked = said["run"], said["watchdog"], said["forked"]

    def say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def cancelled(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def watchdog_gone(self) -> bool:
        return gone(self.watchdog)

    def close(self) -> None:
        if self.forked:
            os.kill(self.forked, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()
        until(self.watchdog_gone, what="the watchdog ends")
        self.register.close()


def gone(pid: int) -> bool:
    """Nobody may be there to reap it in a container, so a zombie counts."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"
