"""A viewer's kernels have an owner or an end, whatever fails around them."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from pathlib import Path

import pytest

from workbench.dashboards.published import Dashboard
from workbench.server.viewer_kernels import ViewerKernels


def full(kernels: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def dashboard(tmp_path: Path) -> Dashboard:
    return Dashboard("sales", "Sales", str(tmp_path / "sales.ipynb"), str(tmp_path), 0.0, {}, {})


def test_a_full_disk_keeps_no_kernel_from_its_owner_nor_from_its_end(
    dashboard: Dashboard, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        kernels = ViewerKernels(connection_dir=dashboard.folder)
        kernels.on_change = full
        try:
            kernel_id = await kernels.open(dashboard, {}, "ada", "light")
            assert kernels.is_of(kernel_id, "ada")
            process = kernels.get_kernel(kernel_id)
            await kernels.end(kernel_id)
            assert not await process.is_alive()
            assert kernels.list_kernel_ids() == []
            assert not kernels.is_of(kernel_id, "ada")
        finally:
            await kernels.shutdown_all(now=True)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert caplog.text.count("No space left on device") == 2


class Late(ViewerKernels):
    """Fails when the kernel runs already, as where it is told about."""

    async def _finish_kernel_start(self, kernel_id: str) -> None:
        await super()._finish_kernel_start(kernel_id)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_an_open_that_failed_leaves_no_kernel(dashboard: Dashboard) -> None:
    async def main() -> None:
        kernels = Late(most=1, connection_dir=dashboard.folder)
        try:
            for _ in range(2):
                with pytest.raises(OSError, match="Too many open files"):
                    await kernels.open(dashboard, {}, "ada", "light")
                assert kernels.list_kernel_ids() == []
        finally:
            await kernels.shutdown_all(now=True)

    asyncio.run(main())
