"""A sink whose file another process has open at the start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.contract.change import Guarantee
from workbench.contract.errors import PathUnreachable
from workbench.streams import Sink, Topology, spout, writing
from workbench.streams.running import Running
from workbench.streams.writing import Target
from workbench_duckdb.instance import database

Start = Callable[..., Running]


def test_a_file_that_another_process_has_for_a_moment_is_waited_for(
    started: Start, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(shop)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        database(str(shop)).let_go()
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        monkeypatch.setattr(writing, "HANDED_OVER", 0.2)
        t = (
            Topology("t")
            .spout("rows", spout("page", "n")(lambda: iter([("/a", 1)])))
            .bolt("save", Sink("shop.views"), inputs="rows")
        )
        with pytest.raises(PathUnreachable, match=f"PID {other.pid}.* has it open"):
            started(t)
        monkeypatch.setattr(writing, "HANDED_OVER", 60)
        naps: list[float] = []

        def nap(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                other.stdin.close()  # type: ignore[union-attr]
                other.wait(60)

        target = Target("shop.views", "insert", (), False, {}, 1, 1.0, 1.0, sleep=nap)
        assert target.open("s") is Guarantee.TRANSACTIONAL
        assert len(naps) == 3
