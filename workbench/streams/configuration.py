"""A topology's configuration: plain values with defaults that are never unlimited. The standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workbench.contract.errors import InvalidParameter, UnknownName

__all__ = ["DEFAULTS", "configured", "seconds"]

DEFAULTS: dict[str, Any] = {
    "message_timeout": 30.0,
    "max_spout_pending": 1000,
    "acking": True,
    "max_retries": 3,
    "retry_backoff": 0.1,
    "retry_backoff_most": 10.0,
    "sample_every": 20,
    "idle_timeout": 10.0,
    "seed": None,
    "snapshot_every": 10.0,
}
"""`message_timeout`: a tree that is not done after one to two of these fails (seconds, or a text such as "2m").
`max_spout_pending`: so many tuples of a spout's task may be on their way. `acking`: whether anything is tracked.
`max_retries`, `retry_backoff`, `retry_backoff_most`: how often and after how many seconds a spout tries again.
`sample_every`: one call in so many is timed; counts are exact. `idle_timeout`: a stream that is silent for so long does
not hold windows by event time back. `seed`: of all chance, to run the same again. `snapshot_every`: in a run with
state, so long after a snapshot the next one is made, or ten times as long as one takes, where that is longer."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")


class UnknownSetting(UnknownName):
    kind = "setting of a topology"


def seconds(value: object, name: str = "duration") -> float:
    """`90`, `"90s"`, `"1.5m"`, `"250ms"`, `"2h"`, `"1d"`, or a timedelta. Raises InvalidParameter."""
    found = _LENGTH.fullmatch(value) if isinstance(value, str) else None
    length = 0.0
    if found:
        length = float(found[1]) * _UNITS[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        length = float(value)
    elif hasattr(value, "total_seconds"):
        length = float(value.total_seconds())
    if not 0 < length < float("inf"):
        raise InvalidParameter(name, f'is {value!r}; say a time such as "250ms", "30s", "1m", "2h", or seconds.')
    return length


def configured(given: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults, and what is said otherwise. Raises UnknownName and InvalidParameter."""
    for name in given:
        if name not in DEFAULTS:
            raise UnknownSetting(name, DEFAULTS)
    config = {**DEFAULTS, **given}
    for name in ("message_timeout", "retry_backoff", "retry_backoff_most", "idle_timeout", "snapshot_every"):
        config[name] = seconds(config[name], name)
    for name, least in (("max_spout_pending", 1), ("max_retries", 0), ("sample_every", 1)):
        value = config[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InvalidParameter(name, f"is {value!r}; it is a whole number, {least} or more.")
    if not isinstance(config["seed"], int | str | None):
        raise InvalidParameter("seed", f"is {config['seed']!r}; it is a whole number or a text.")
    if not isinstance(config["acking"], bool):
        raise InvalidParameter("acking", f"is {config['acking']!r}; it is True or False.")
    return config
