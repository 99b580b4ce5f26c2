"""Stop in a notebook stops the database's work; so does the kernel's death."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.conftest import Kernel
from tests.services.mysql.server import Server
from workbench.catalog import Catalog
from workbench.contract.secret import Secret
from workbench.testing.clock import eventually

SLOW = "select sleep(0.2) as n from information_schema.columns limit 300"
GONE = 2.0


@pytest.fixture
def kernel(mariadb: Server, home: Path, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel of its own, with the connection `crm` to the server."""
    catalog = Catalog(home)
    catalog.connect("crm", mariadb.url(), secret=Secret(mariadb.password))
    catalog.close()
    kernel = Kernel(home, tmp_path)
    yield kernel
    kernel.close()


def ours(server: Server) -> list[str]:
    """Statements of ours that the server works on."""
    return [text for _, _, text in server.running() if "sleep(0.2)" in text]


def test_the_kernels_interrupt_ends_the_work_at_the_server(kernel: Kernel, mariadb: Server) -> None:
    message = kernel.send(f"%%sql --native crm\n{SLOW}")
    eventually(lambda: ours(mariadb), 30, "the statement runs")
    kernel.manager.interrupt_kernel()
    started = time.monotonic()
    errors = [content["ename"] for kind, content in kernel.outputs(message) if kind == "error"]
    assert errors == ["Cancelled"]
    eventually(lambda: not ours(mariadb), GONE - (time.monotonic() - started), "it is gone at the server")
    assert "3" in kernel.text("%%sql --native crm\nselect 3 as three"), "and the notebook goes on"


def test_the_kernels_death_ends_the_work_at_the_server(kernel: Kernel, mariadb: Server) -> None:
    kernel.send(f"%%sql --native crm\n{SLOW}")
    eventually(lambda: ours(mariadb), 30, "the statement runs")
    os.kill(kernel.manager.provisioner.pid, signal.SIGKILL)
    eventually(lambda: not ours(mariadb), GONE, "it is gone at the server")
