"""What all handlers share is there once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from workbench.query import session
from workbench.server.services import Services


def test_two_first_samples_make_one_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(session.Session):
        def __init__(self, *args: Any, **options: Any) -> None:
            time.sleep(0.1)
            super().__init__(*args, **options)

    monkeypatch.setattr(session, "Session", Slow)
    services = Services(tmp_path)
    try:
        with ThreadPoolExecutor(4) as threads:
            made = list(threads.map(lambda _: services._asked(), range(4)))
        assert len(set(map(id, made))) == 1
    finally:
        services.close()
