from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.query.support import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A session of which a test fills the sources; reads files by their paths too."""
    world = World(tmp_path)
    yield world
    world.session.close()
    world.register.close()
