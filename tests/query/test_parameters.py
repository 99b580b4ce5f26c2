"""`$name`: bound, never pasted (D1, D3, D4, D10 of the hostile list)."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.query.support import World
from workbench.contract.errors import InvalidParameter, StatementRefused, UnknownVariable


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (-5, -5),
        (2**64, 2**64),
        (1.5, 1.5),
        ("'; drop table t -- ", "'; drop table t -- "),
        ("$other {x} %s %(x)s :x ? ${ENV}", "$other {x} %s %(x)s :x ? ${ENV}"),
        (b"\x00'\xff", b"\x00'\xff"),
        (decimal.Decimal("12345678901234567890.123456"), decimal.Decimal("12345678901234567890.123456")),
        (datetime.date(2024, 2, 29), datetime.date(2024, 2, 29)),
        (datetime.datetime(2024, 2, 29, 1, 2, 3, 4), datetime.datetime(2024, 2, 29, 1, 2, 3, 4)),
        (datetime.time(1, 2, 3, 4), datetime.time(1, 2, 3, 4)),
        (datetime.timedelta(days=1, seconds=2), datetime.timedelta(days=1, seconds=2)),
        ([1, 2, 3], [1, 2, 3]),
        (("a", None), ["a", None]),
        ([], []),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.str_("x"), "x"),
        (pd.Timestamp("2024-01-01 12:00"), datetime.datetime(2024, 1, 1, 12)),
        (Colour.RED, "red"),
    ],
)
def test_values_that_are_bound(value: object, expected: object, world: World) -> None:
    world.variables["value"] = value
    got = world.rows("select $value as v")[0][0]
    assert got == expected


def test_negative_zero_and_not_a_number_stay(world: World) -> None:
    (zero, nan), = world.rows("select $zero, $nan", zero=-0.0, nan=math.nan)  # fmt: skip
    assert math.copysign(1, zero) == -1
    assert math.isnan(nan)


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        {1, 2},
        [[1]],
        [{"a": 1}],
        object(),
        print,
        1 + 2j,
        decimal.Decimal("NaN"),
        decimal.Decimal("Infinity"),
        decimal.Decimal(10) ** 40,
        2**127,
        -(2**130),
        "\ud800",
        ["\udfff"],
        "a\0b",
        pa.table({"a": [1]}),
        np.array([1, 2]),
        pd.Series([1]),
        pd.Timestamp("2024-01-01 00:00:00.000000001"),
    ],
)
def test_values_that_are_refused_by_name(value: Any, world: World) -> None:
    with pytest.raises(InvalidParameter, match="`value`"):
        world.session.sql("select $value", {"value": value})


def test_given_parameters_come_before_variables(world: World) -> None:
    world.variables["n"] = 1
    assert world.rows("select $n") == [(1,)]
    assert world.rows("select $n", n=2) == [(2,)]


def test_a_missing_one_is_named_with_near_ones(world: World) -> None:
    world.variables["country"] = "de"
    with pytest.raises(UnknownVariable, match="`country`"):
        world.session.sql("select $contry")
    with pytest.raises(UnknownVariable):
        world.another(variables=None).sql("select $country")


def test_values_reach_the_source_as_values(world: World) -> None:
    name = "a'b\"c`d\\e;--"
    world.put("t", {"name": [name, "x", None], "n": [1, 2, 3]})
    result = world.session.sql("select n from shop.t where name = $name", {"name": name})
    assert result.arrow().to_pylist() == [{"n": 1}]
    assert [one.level for one in result.explain().sources[0].conditions] == ["EXACT"]
    assert world.rows("select n from shop.t where n in (select unnest($many))", many=[2, 3]) == [(2,), (3,)]


@pytest.mark.parametrize("text", ["%s", "%(x)s", "{x}", ":x", "?", "$x", "${HOME}", "$HOME", "{{ x }}", "@x", "!ls"])
def test_text_in_a_literal_stays_as_it_is(text: str, world: World) -> None:
    world.variables.update(x="pasted", HOME="pasted")
    assert world.rows(f"select '{text}' as v") == [(text,)]


@pytest.mark.parametrize("text", ["select ?", "select $1"])
def test_parameters_without_a_name(text: str, world: World) -> None:
    with pytest.raises(StatementRefused, match=r"\$name"):
        world.session.sql(text)


@pytest.mark.parametrize(
    "name",
    ["a`b", 'a"b', "a.b", "x" * 64, "x" * 65, "select", "é", "💥", "a b", "'; drop table t --", "$x", "a\tb", "%s"],
)
def test_names_of_every_kind(name: str, world: World) -> None:
    world.put(name, {name: [1, 2]})
    quoted = '"' + name.replace('"', '""') + '"'
    assert world.rows(f"select {quoted} from shop.{quoted} where {quoted} > 1") == [(2,)]
    assert world.rows(f"select shop.{quoted}.{quoted} from shop.{quoted} limit 1") == [(1,)]
