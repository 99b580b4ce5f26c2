"""A notebook gets a kernel that was started before, and cannot tell."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from workbench.notebook.kernels import WarmKernels

LOOK = """
import json, os
names = [os.environ.get("JPY_SESSION_NAME"), globals().get("__session__")]
print(json.dumps([os.getcwd(), *names, os.getpid(), str(_dh[0]),
  sorted(name for name in globals() if not name.startswith("_") and name not in ("In", "Out", "json", "os", "names"))]))
"""


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {"kernel_manager_class": "workbench.notebook.kernels.WarmKernels", "jpserver_extensions": {}},
        "WarmKernels": {"pause": 0.1},
    }


@pytest.fixture
def kernels(jp_serverapp: Any) -> WarmKernels:
    found: WarmKernels = jp_serverapp.kernel_manager
    return found


async def spare(kernels: WarmKernels) -> str:
    kernels.warm()
    async with asyncio.timeout(60):
        while not kernels._spare_id:
            await asyncio.sleep(0.05)
    return kernels._spare_id


async def said(kernels: WarmKernels, kernel_id: str) -> list[Any]:
    """What `LOOK` prints there."""
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
                found: list[Any] = json.loads(message["content"]["text"])
                return found
    finally:
        client.stop_channels()


async def opened(jp_fetch: Any, path: str, name: str = "python3") -> str:
    body = {"path": path, "name": path.rpartition("/")[2], "type": "notebook", "kernel": {"name": name}}
    answer = await jp_fetch("api", "sessions", method="POST", body=json.dumps(body), request_timeout=60)
    return str(json.loads(answer.body)["kernel"]["id"])


async def test_a_notebook_takes_it_over(jp_fetch: Any, jp_root_dir: Path, kernels: WarmKernels) -> None:
    (jp_root_dir / "it's deep").mkdir()
    waiting = await spare(kernels)
    assert json.loads((await jp_fetch("api", "kernels")).body) == [], "nobody has asked for it"
    assert len(kernels) == 0, "so a server that ends without kernels may end"
    assert waiting in kernels.list_kernel_ids(), "which is ended with the others"
    taken = await opened(jp_fetch, "it's deep/x.ipynb")
    assert taken == waiting
    assert [one["id"] for one in json.loads((await jp_fetch("api", "kernels")).body)] == [taken]
    folder = os.path.realpath(jp_root_dir / "it's deep")
    *seen, pid, first, names = await said(kernels, taken)
    name = str(jp_root_dir / "it's deep" / "x.ipynb")
    assert seen == [folder, name, name]
    assert first == folder
    assert names in ([], ["exit", "get_ipython", "quit"], ["exit", "get_ipython", "open", "quit"])
    await kernels.restart_kernel(taken)
    *again, other, _, _ = await said(kernels, taken)
    assert again == seen, "also after a restart"
    assert other != pid
    assert await spare(kernels) != taken


async def test_one_that_is_being_made_is_waited_for(jp_fetch: Any, kernels: WarmKernels) -> None:
    kernels.warm()
    while not (begun := kernels._begun_id):
        await asyncio.sleep(0)
    assert json.loads((await jp_fetch("api", "kernels")).body) == []
    taken = await opened(jp_fetch, "x.ipynb")
    assert taken == begun
    assert (await said(kernels, taken))[1].endswith("/x.ipynb")


async def test_one_that_died_is_nobody_s(jp_fetch: Any, kernels: WarmKernels) -> None:
    waiting = await spare(kernels)
    provisioner: Any = kernels.get_kernel(waiting).provisioner
    kernels.get_kernel(waiting).stop_restarter()
    provisioner.process.kill()
    provisioner.process.wait()
    taken = await opened(jp_fetch, "x.ipynb")
    assert taken != waiting
    assert waiting not in kernels
    assert (await said(kernels, taken))[1].endswith("/x.ipynb")


async def test_another_environment_gets_a_kernel_of_its_own(kernels: WarmKernels) -> None:
    waiting = await spare(kernels)
    other = await kernels.start_kernel(env={**os.environ, "MORE": "1"})
    assert other != waiting
    assert kernels._spare_id == waiting
    console = await kernels.start_kernel()
    assert console == waiting


async def test_there_can_be_none(kernels: WarmKernels) -> None:
    kernels.spare = 0
    kernels.warm()
    await asyncio.sleep(0.2)
    assert list(kernels.list_kernel_ids()) == []
