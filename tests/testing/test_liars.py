"""The suite fails where it must: each lie is told by a connector, and seen."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testing import liars


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """How each test of each liar ended: one run for all of them, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/testing/liars.py", "-q", "-rA", "--tb=line", "-p", "no:cacheprovider",
         "--basetemp", str(tmp_path_factory.mktemp("liars") / "run")],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, timeout=170, check=False,
        env={**os.environ, "COLUMNS": "1000"},
    )  # fmt: skip
    found: dict[str, dict[str, str]] = {}
    for outcome, liar, test in re.findall(
        r"^(PASSED|FAILED|ERROR) \S+?::(\w+)::([\w\[\]]+)", done.stdout, re.MULTILINE
    ):
        found.setdefault(liar, {})[test] = outcome
    assert found, done.stdout + done.stderr
    return found


@pytest.mark.parametrize("liar", liars.LIARS, ids=lambda liar: liar.__name__)
def test_a_lie_is_seen(outcomes: dict[str, dict[str, str]], liar: type) -> None:
    mine = outcomes[liar.__name__]
    assert {test: mine.get(test) for test in liar.caught_by} == dict.fromkeys(liar.caught_by, "FAILED")  # type: ignore[attr-defined]
    assert "PASSED" in mine.values(), "a lie about one thing is no lie about everything"
    assert "ERROR" not in mine.values()
