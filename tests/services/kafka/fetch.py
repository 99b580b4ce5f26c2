"""Kafka from Maven's registry, kept outside the repository.

`python -m tests.services.kafka.fetch` does it beforehand and prints where it lies.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.services.maven import jars


def home() -> Path:
    """The folder of its jars; fetched when they are not there yet."""
    return jars("kafka", Path(__file__).parent / "pom.xml")


if __name__ == "__main__":
    sys.stdout.write(f"{home()}\n")
