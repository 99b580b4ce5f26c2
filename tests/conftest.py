"""What every test may use. Real servers come from `tests/services/fixtures.py`, each started when first asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services.fixtures", "tests.wheel"]  # pytest allows this in the top conftest only

# Tests leave the keyring of whoever runs them alone, and so do the processes that they start.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

# How fast the machine is decides no test.
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that is tested."""
    return REPOSITORY


@pytest.fixture(scope="session")
def eventually() -> Callable[..., object]:
    """`eventually(probe, within=2.0)`: asks until the answer is true and returns it; fails after `within` seconds."""

    def ask(probe: Callable[[], object], *, within: float = 2.0, every: float = 0.01) -> object:
        deadline = time.monotonic() + within
        while True:
            answer = probe()
            if answer:
                return answer
            if time.monotonic() > deadline:
                pytest.fail(f"{getattr(probe, '__name__', probe)} still answers {answer!r} after {within} s")
            time.sleep(every)

    return ask
