"""How a test owns a server: a free loopback port, a private folder, a process known by pid and start time.

Shared by every system under `tests/services/`; the fixtures, `make services` and the benchmarks are the same code.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from workbench.testing.proxy import free_port as free_port


class ServiceError(RuntimeError):
    """A real server could not be had. Never a skip: what is not tested does not work."""


def cache() -> Path:
    """Where fetched servers are kept between runs."""
    folder = Path(os.environ.get("WORKBENCH_CACHE") or Path.home() / ".cache" / "analytics-workbench")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def private_folder(name: str) -> Path:
    """A short path: the sockets that some servers insist on may be 107 bytes long."""
    return Path(tempfile.mkdtemp(prefix=f"wb-{name}-"))


class Process:
    """A child that is ended by pid and start time, so that a reused pid is never hit."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        ending: int = signal.SIGTERM,
    ) -> None:
        self.name, self.folder, self.log, self._ending = name, folder, folder / f"{name}.log", ending
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*_orphans_end(), *(str(part) for part in command)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        self.pid = self._child.pid
        self._born = _born(self.pid)

    def alive(self) -> bool:
        return self._child.poll() is None

    def wait_ready(self, probe: Callable[[], object], timeout: float = 60) -> None:
        """Until `probe` returns without an exception; at once a ServiceError when the process is gone."""
        deadline, why = time.monotonic() + timeout, "never asked"
        while time.monotonic() < deadline:
            if not self.alive():
                raise ServiceError(f"{self.name} ended at its start:\n{self.tail()}")
            try:
                probe()
            except Exception as error:  # noqa: BLE001 (whatever a server that is not up yet makes of it)
                why = repr(error)
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise ServiceError(f"{self.name} was not ready after {timeout:g} s: {why}\n{self.tail()}")

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, patience: float = 20) -> None:
        """Asks, then insists. Idempotent."""
        if self.alive() and _born(self.pid) == self._born:
            self._child.send_signal(self._ending)
            try:
                self._child.wait(patience)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()

    def kill(self) -> None:
        """As a power cut would."""
        if self.alive() and _born(self.pid) == self._born:
            self._child.kill()
        self._child.wait()


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used so far: benchmarks count the server's side with it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _orphans_end() -> list[str]:
    """Start of a command that ends when we do, however we do (the starting thread must outlive it)."""
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "TERM", "--"] if found else []


def _born(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    return ""


def install(package: str, program: str) -> Path:
    """The program, from the Debian package when it is not there yet and we may install."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found:
        return Path(found)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ServiceError(f"The tests need `{program}`: sudo apt-get install --no-install-recommends {package}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    if done.returncode != 0:
        subprocess.run(["apt-get", "-qq", "update"], check=True, capture_output=True, env=quiet)
        done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    if done.returncode != 0:
        raise ServiceError(f"apt-get could not install {package}:\n{done.stderr[-2000:]}")
    return install(package, program)
