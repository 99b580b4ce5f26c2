"""A topology at full rate does not grow."""

from __future__ import annotations

import pytest

from benchmarks.streams_memory import adds_up, early_and_late, samples


@pytest.mark.deep
def test_memory_is_flat_over_ten_minutes_at_full_rate() -> None:
    found = samples(600)
    last = found[-1]
    assert adds_up(last)
    assert last["late"] > 0
    assert last["dead"] > 0
    early, late = early_and_late(found)
    assert late - early < 8, (early, late)
