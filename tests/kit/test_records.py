"""Objects without a schema as columns: what they cannot hold is NULL and counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workbench.kit import records
from workbench_redis.entries import Entries


def test_half_a_pair_of_surrogates_is_no_text() -> None:
    """JSON can write it: whoever sends one must not wedge all who read."""
    row = json.loads(r'{"a": "\ud800", "\ud800": 1, "b": {"c": "\udfff"}, "d": "fine"}')
    kinds = records.sampled([row])
    assert list(kinds) == ["a", "b", "d"]
    found = {name: records.array([row[name], None], kind) for name, kind in kinds.items()}
    assert [(column.to_pylist(), lost) for column, lost in found.values()] == [
        ([None, None], 1),
        ([None, None], 1),
        (["fine", None], 0),
    ]


def test_a_whole_number_that_a_double_cannot_hold_is_counted() -> None:
    column, lost = records.array([2**53 + 1, 2**53, 0.5, float("nan")], "double")
    assert column.to_pylist()[:3] == [None, 2.0**53, 0.5]
    assert lost == 1


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "7", 7), ("integer", "-7", -7), ("integer", "007", None), ("integer", "1_000", None),
        ("integer", "١٢", None), ("integer", " 7", None), ("integer", "9223372036854775808", None),
        ("double", "1.5", 1.5), ("double", "1e3", 1000.0), ("double", "7", 7.0), ("double", "1_0.5", None),
        ("double", "infinity", None), ("double", "inf", float("inf")), ("double", "9007199254740993", None),
        ("boolean", "true", True), ("boolean", "yes", None),
    ],
)  # fmt: skip
def test_a_field_s_text_is_a_number_as_numbers_are_written(kind: str, text: str, value: Any) -> None:
    entries = Entries({"n": kind}, hide_meta=True)
    assert entries.batch([(b"1-0", {b"n": text.encode()})]).column("n").to_pylist() == [value]
    assert entries.lost == ({"n": 1} if value is None else {})
