"""A kernel that is started before it is asked for: the next notebook takes it over and need not wait for imports."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_server._tz import utcnow
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager, ServerKernelManager
from traitlets import Float, Integer, default

from workbench.notebook import prepared

__all__ = ["PreparedKernel", "WarmKernels"]

_SESSION = "JPY_SESSION_NAME"
_PATIENCE = 20.0
# What the kernel would have been started with. It leaves no name behind, and is in no history.
_TAKE_OVER = """\
__import__("os").chdir({folder!r})
__import__("os").environ.update({environment!r})
globals().update({names!r})
globals()["_dh"][:1] = [type(globals()["_dh"][0])({folder!r})]"""


class PreparedKernel(ServerKernelManager):
    """A kernel that is the prepared process where there is one that fits, else a new one."""

    async def _async_launch_kernel(self, kernel_cmd: list[str], **given: Any) -> None:
        folder, process = str(given.get("cwd") or os.getcwd()), None
        if isinstance(self.provisioner, LocalProvisioner):
            process = prepared.taken(kernel_cmd, folder, given.get("env") or os.environ)
        if process is None:
            await super()._async_launch_kernel(kernel_cmd, **given)
            return
        # What a local provisioner would have noted of a process that it started.
        local: Any = self.provisioner
        local.process, local.pid, local.pgid, local.cwd = process, process.pid, process.pid, folder
        self._reconcile_connection_info(local.connection_info)


class WarmKernels(AsyncMappingKernelManager):
    """Keeps a kernel of the default kind ready. What asks for another kind, or for an environment of its own, gets a
    kernel as ever."""

    spare = Integer(1, min=0, max=1, help="Kernels that are started ahead: 1, or 0 for none.").tag(config=True)
    pause = Float(8.0, help="Seconds after one was taken until the next is started.").tag(config=True)

    @default("kernel_manager_class")
    def _default_kernel_manager_class(self) -> str:
        return f"{PreparedKernel.__module__}.{PreparedKernel.__name__}"

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)  # type: ignore[no-untyped-call]
        self._spare_id = self._begun_id = ""
        self._environment: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._making: asyncio.Task[None] | None = None
        self._ending = False

    def warm(self, after: float = 0.0) -> None:
        """Starts the spare kernel, in the running loop, where there is none."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(after, self._begin)

    async def _async_start_kernel(self, *, kernel_id: str | None = None, path: Any = None, **given: Any) -> str:
        if kernel_id is None and self._making is not None and not self._making.done():
            await asyncio.wait([self._making], timeout=_PATIENCE)  # it is sooner there than another one
        if kernel_id is None and self._fits(given):
            taken = await self._taken(path, given.get("env") or {})
            if taken:
                return taken
        started = await super()._async_start_kernel(kernel_id=kernel_id, path=path, **given)
        return str(started)

    start_kernel = _async_start_kernel  # type: ignore[assignment]

    def list_kernels(self) -> list[dict[str, Any]]:
        """Those that somebody has asked for."""
        found = super().list_kernels()  # type: ignore[no-untyped-call]
        return [one for one in found if one["id"] not in (self._spare_id, self._begun_id)]

    def __len__(self) -> int:
        """Without those that nobody has asked for: a server that ends without kernels ends."""
        hidden = {self._spare_id, self._begun_id}
        return sum(kernel_id not in hidden for kernel_id in self.list_kernel_ids())

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        if kernel_id != self._spare_id:
            await super().cull_kernel_if_idle(kernel_id)  # type: ignore[no-untyped-call]

    async def _async_shutdown_all(self, now: bool = False) -> None:
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        if self._making is not None:
            # A process that is being started would be nobody's.
            await asyncio.wait([self._making], timeout=_PATIENCE)
            self._making.cancel()
        await super()._async_shutdown_all(now=now)

    shutdown_all = _async_shutdown_all  # type: ignore[assignment]

    # --- inside

    def _begin(self) -> None:
        if self.spare and not self._ending and not self._spare_id and (self._making is None or self._making.done()):
            self._making = asyncio.ensure_future(self._make())

    async def _make(self) -> None:
        self._environment = dict(os.environ)
        self._begun_id = str(uuid.uuid4())
        try:
            started = await super()._async_start_kernel(kernel_id=self._begun_id, env=dict(os.environ))
            self._spare_id = str(started)
        finally:
            self._begun_id = ""

    def _fits(self, given: dict[str, Any]) -> bool:
        """Whether the spare is what is asked for."""
        environment = {**(given.get("env") or os.environ)}
        for one in (environment, kept := dict(self._environment)):
            one.pop(_SESSION, None)
        usual = given.get("kernel_name") in (None, "", self.default_kernel_name)
        return bool(self._spare_id) and usual and not given.keys() - {"kernel_name", "env"} and environment == kept

    def _folder(self, path: Any) -> str:
        found: Any = self
        return str(found.cwd_for_path(path))

    async def _taken(self, path: Any, environment: dict[str, str]) -> str:
        """The spare's id, made the notebook's own; empty where it does not answer, and it is ended then."""
        kernel_id, self._spare_id = self._spare_id, ""
        self.warm(self.pause)
        kernel: Any = self._kernels[kernel_id]
        folder = self._folder(path) if path is not None else os.getcwd()
        name = environment.get(_SESSION)
        code = _TAKE_OVER.format(
            folder=folder,
            environment={_SESSION: name} if name else {},
            names={"__session__": name} if name else {},
        )
        try:
            done = await kernel.is_alive() and await _executed(kernel, code)
        except Exception:  # whatever is wrong with it, the notebook gets another one
            self.log.exception("The kernel that was started ahead could not be taken over")
            done = False
        if not done:
            await self.shutdown_kernel(kernel_id, now=True)  # type: ignore[no-untyped-call]
            return ""
        # A restart begins where the notebook is, not where the spare began.
        kernel._launch_args = {**kernel._launch_args, "cwd": folder, "env": environment or dict(os.environ)}
        kernel.last_activity = utcnow()
        self.log.info("Kernel started ahead is taken: %s", kernel_id)
        return kernel_id


async def _executed(kernel: Any, code: str) -> bool:
    client = kernel.client()
    client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
    try:
        asked = client.execute(code, silent=True, store_history=False, allow_stdin=False)
        async with asyncio.timeout(_PATIENCE):
            while True:
                reply = await client.get_shell_msg()
                if reply["parent_header"].get("msg_id") == asked:
                    return bool(reply["content"]["status"] == "ok")
    except TimeoutError:
        return False
    finally:
        client.stop_channels()
