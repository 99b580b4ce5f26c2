"""Parameters of an address are data, checked before anything runs."""

from __future__ import annotations

import datetime
import json

import pytest

from workbench.contract.errors import InvalidParameter, UsageError
from workbench.dashboards.parameters import ENVIRONMENT, checked, declared_in, given, parameters

SCHEMA = {
    "country": {"type": "string", "enum": ["all", "DE"], "default": "all"},
    "word": {"type": "string", "default": "", "maxLength": 20},
    "top": {"type": "integer", "minimum": 1, "maximum": 8, "default": 3},
    "share": {"type": "number", "default": 0.5, "maximum": 1},
    "old": {"type": "boolean", "default": False},
    "day": {"type": "date", "default": "2026-11-01", "minimum": "2026-01-01"},
}


def test_values_that_fit_come_as_what_they_are() -> None:
    sent = {
        "country": ["DE"],
        "top": ["8"],
        "share": ["0.25"],
        "old": ["true"],
        "day": ["2026-02-28"],
        "word": ["a'b;--"],
    }
    assert given(checked(SCHEMA), sent) == {
        "country": "DE", "top": 8, "share": 0.25, "old": True, "day": "2026-02-28", "word": "a'b;--",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("country", ["FR"]), ("country", ["DE "]), ("country", ["DE", "DE"]), ("country", []), ("country", [""]),
        ("top", ["0"]), ("top", ["9"]), ("top", ["3.0"]), ("top", ["0x3"]), ("top", ["1e1"]), ("top", ["٣"]),
        ("top", [" 3"]), ("top", ["3\n"]), ("top", ["9" * 400]), ("share", ["nan"]), ("share", ["inf"]),
        ("share", ["2"]), ("share", ["1_0"]), ("old", ["1"]), ("old", ["True"]), ("day", ["2026-02-30"]),
        ("day", ["2025-12-31"]), ("day", ["20260301"]),
        ("day", ["2026-W09-1"]), ("word", ["x" * 21]), ("word", ["a\0b"]), ("word", ["a\nb"]), ("word", ["\u202e"]),
        ("theme", ["dark"]), ("token", ["x"]), ("__class__", ["x"]), ("Top", ["3"]), ("", ["3"]),
    ],
)  # fmt: skip
def test_everything_else_is_refused(name: str, texts: list[str]) -> None:
    with pytest.raises(InvalidParameter):
        given(checked(SCHEMA), {name: texts})


def test_in_a_notebook_the_defaults_hold_until_the_address_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert vars(parameters(**SCHEMA)) == {
        "country": "all", "word": "", "top": 3, "share": 0.5, "old": False, "day": datetime.date(2026, 11, 1),
    }  # fmt: skip
    monkeypatch.setenv(ENVIRONMENT, json.dumps({"top": 5}))
    assert parameters(**SCHEMA).top == 5
    monkeypatch.setenv(ENVIRONMENT, json.dumps({"top": 50}))
    with pytest.raises(InvalidParameter):
        parameters(**SCHEMA)


@pytest.mark.parametrize(
    "one",
    [
        {}, {"type": "integer"}, {"default": 1}, {"type": "int", "default": 1}, {"type": "integer", "default": "1"},
        {"type": "integer", "default": True}, {"type": "integer", "default": 0, "minimum": 1}, 3, None,
        {"type": "string", "default": "a", "enum": []}, {"type": "string", "default": "a", "enum": ["b"]},
        {"type": "string", "default": "a", "enum": "ab"},
        {"type": "integer", "default": 1, "minimum": "0"}, {"type": "integer", "default": 1, "choices": [1]},
        {"type": "string", "default": "a", "maxLength": "9"}, {"type": "date", "default": "today"},
    ],
)  # fmt: skip
def test_a_declaration_that_says_nothing_clear_is_refused(one: object) -> None:
    with pytest.raises(InvalidParameter):
        checked({"x": one})


@pytest.mark.parametrize(
    "cell",
    [
        "wb.parameters(x={'type': 'integer', 'default': int('3')})",
        "wb.parameters({'x': {}})",
        "wb.parameters(**declared)",
        "wb.parameters()\nwb.parameters()",
        "now = %timeit 3\nasked = wb.parameters(x={'type': 'integer', 'default': 3})",
    ],
)
def test_a_call_that_cannot_be_read_unrun_is_said_at_once(cell: str) -> None:
    with pytest.raises(UsageError):
        declared_in([cell])


def test_a_notebook_without_parameters_has_none() -> None:
    assert declared_in(["print(1)", "%%sql\nselect 1", "other.parameters(3)", "f(\n"]) == {}
