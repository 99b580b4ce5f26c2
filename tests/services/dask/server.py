"""A Dask cluster that is there already: a scheduler and workers as processes of nobody's notebook, on loopback, in this
environment or in another one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.services import certificate
from tests.services.process import Process, free_port, private_folder


class DaskCluster:
    """`python` is the one of its environment; `environment` what its processes find besides. With `tls` it lets in
    only who has `certificates`."""

    def __init__(
        self,
        *,
        workers: int = 1,
        tls: bool = False,
        python: Path | str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = private_folder("dask")
        self.address = f"{'tls' if tls else 'tcp'}://127.0.0.1:{free_port()}"
        self.certificates: dict[str, str] | None = None
        options = []
        if tls:
            public, private = certificate.make(self.folder)
            self.certificates = {"ca": str(public), "cert": str(public), "key": str(private)}
            options = ["--tls-ca-file", public, "--tls-cert", public, "--tls-key", private]
        self._python, self._options, self._environment = str(python), [str(one) for one in options], environment
        self._processes: list[Process] = []
        try:
            self._start("scheduler", "--host", self.address, "--no-dashboard")
            for number in range(workers):
                self._start("worker", self.address, "--nthreads", "1", "--no-dashboard", "--name", str(number))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for process in reversed(self._processes):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, what: str, *arguments: str) -> None:
        command = [self._python, "-m", f"distributed.cli.dask_{what}", *arguments, *self._options]
        name = f"{what}-{len(self._processes)}"
        process = Process(name, command, self.folder, environment=self._environment)
        self._processes.append(process)
        ready = "Scheduler at" if what == "scheduler" else "Registered to"

        def probe() -> None:
            if ready not in process.log.read_text():
                raise TimeoutError(f"{name} is not up yet")

        process.wait_ready(probe)
