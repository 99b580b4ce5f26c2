"""A third party's connector on a plain path, for the watchdog's tests: its source is a file that takes orders.

It is copied into a folder that only the owner process has on its `sys.path`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


class FakeConnector:
    """Appends a line to `log` at each cancel. `failures`: so many times it refuses first, over all processes."""

    tables = feeds = sinks = None

    def __init__(self, config: Any) -> None:
        self._config = config

    def test(self) -> Any:
        raise NotImplementedError

    def cancel(self, native_id: str) -> None:
        log = Path(self._config.parameters["log"])
        fact = {
            "native_id": native_id,
            "connection": self._config.name,
            "secret": self._config.secrets["password"].reveal() == "hunter2-canary",
            "writable": self._config.writable,
            "heavy": sorted({"pyarrow", "duckdb", "numpy"} & sys.modules.keys()),
            "pid": os.getpid(),
        }
        refused = log.read_text().count('"refused": true') if log.exists() else 0
        if refused < self._config.parameters.get("failures", 0):
            fact["refused"] = True
        with log.open("a") as file:
            file.write(json.dumps(fact) + "\n")
        if "refused" in fact:
            raise ConnectionError("not now")

    def close(self) -> None:
        pass
