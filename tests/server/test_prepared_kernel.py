"""The process that `workbench lab` starts before its server becomes the first kernel, and nobody can tell."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.notebook import prepared
from workbench.notebook.kernels import WarmKernels

LOOK = """
import json, os, signal, sys, threading
print(json.dumps({"pid": os.getpid(), "folder": os.getcwd(), "path": sys.path, "argv": sys.argv[1:2],
  "main": sys.modules["__main__"].__name__, "flags": list(sys.flags), "read": os.read(0, 1).decode(),
  "signals": [str(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM)],
  "group": os.getpgid(0) == os.getpid(), "threads": sorted(one.name.split("-")[0] for one in threading.enumerate()),
  "environment": {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}}))
"""


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {"kernel_manager_class": "workbench.notebook.kernels.WarmKernels", "jpserver_extensions": {}},
        "WarmKernels": {"spare": 0},
    }


@pytest.fixture
def kernels(jp_serverapp: Any) -> WarmKernels:
    found: WarmKernels = jp_serverapp.kernel_manager
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    prepared.end()


async def said(kernels: WarmKernels, kernel_id: str) -> dict[str, Any]:
    client: Any = kernels.get_kernel(kernel_id).client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        client.execute(LOOK)
        while True:
            message = await client.get_iopub_msg(timeout=60)
            if message["msg_type"] == "error":
                raise AssertionError(message["content"])
            if message["msg_type"] == "stream":
                found: dict[str, Any] = json.loads(message["content"]["text"])
                return found
    finally:
        client.stop_channels()


def waiting() -> subprocess.Popen[bytes]:
    process = prepared._WAITING[0]._process
    assert process is not None
    return process


async def test_it_is_a_kernel_as_any(kernels: WarmKernels) -> None:
    prepared.prepare()
    pid = waiting().pid
    first = await said(kernels, await kernels.start_kernel())
    second = await said(kernels, await kernels.start_kernel())
    assert first.pop("pid") == pid
    assert second.pop("pid") != pid
    assert first == second


async def test_it_is_stopped_and_restarted_as_any(kernels: WarmKernels) -> None:
    prepared.prepare()
    process = waiting()
    kernel = await kernels.start_kernel()
    assert (await said(kernels, kernel))["pid"] == process.pid
    await kernels.restart_kernel(kernel)
    assert process.poll() is not None
    again = await said(kernels, kernel)
    assert again["pid"] != process.pid
    await kernels.shutdown_kernel(kernel)


async def test_another_environment_does_not_get_it(kernels: WarmKernels) -> None:
    prepared.prepare()
    pid = waiting().pid
    kernel = await kernels.start_kernel(env={**os.environ, "MORE": "1"})
    found = await said(kernels, kernel)
    assert (found["pid"] != pid, found["environment"]["MORE"]) == (True, "1")
    assert waiting().pid == pid


async def test_one_that_died_is_made_up_for(kernels: WarmKernels) -> None:
    prepared.prepare()
    process = waiting()
    process.kill()
    await asyncio.to_thread(process.wait)
    assert (await said(kernels, await kernels.start_kernel()))["folder"]


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('of the folder, not of Python')")
    code = "import os, sys; from workbench.notebook import prepared as p; p.prepare()\n"
    code += "os._exit(0)"
    ran = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    # It holds the error stream too, so this has waited for its end.
    assert "of the folder" not in ran.stderr
    assert "Traceback" not in ran.stderr
