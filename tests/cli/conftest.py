"""The command as people call it: a process of its own, with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from workbench.demo.making import make
from workbench.demo.shape import Shape

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No keyring, no settings of whoever runs the tests."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "WORKBENCH_HOME", "PYTHON"))
    }
    return {
        **kept,
        "HOME": str(home),
        "WORKBENCH_HOME": str(tmp_path / "workbench"),
        "XDG_DATA_HOME": str(home / "data"),
        "COLUMNS": "100",
    }


@pytest.fixture
def workbench_script() -> list[str]:
    """The installed command."""
    return [str(Path(sys.executable).with_name("workbench"))]


@pytest.fixture
def command(environment: dict[str, str], workbench_script: list[str], tmp_path: Path) -> Command:
    """`command("sql", "select 1")`; more keywords: `code` that is expected, `stdin`, `env`, `cwd`, `script`."""

    def call(
        *words: str | Path,
        code: int | None = 0,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path = tmp_path,
        script: list[str] = workbench_script,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*script, *map(str, words)],
            input=stdin, env={**environment, **(env or {})}, cwd=cwd, capture_output=True, text=True, timeout=90,
        )  # fmt: skip
        if code is not None:
            assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo shop of a fiftieth of the size."""
    return make(tmp_path_factory.mktemp("shop"), Shape(scale=0.02))


@pytest.fixture
def shop(command: Command, small_shop: Path) -> Path:
    """It is connected as `shop` and `web`."""
    command("connect", "shop", "--path", small_shop / "shop.duckdb")
    command("connect", "web", "--path", small_shop / "web")
    return small_shop
