"""Types of DuckDB's that have no place in Arrow: their values would come out as other ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workbench.contract.errors import Unsupported

__all__ = ["must_fit"]

_UNFIT = re.compile(r"\b(?:BIGNUM|BIT|TIME WITH TIME ZONE|UHUGEINT)\b")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


def must_fit(columns: Iterable[tuple[str, str]]) -> None:
    """`columns` are names and types. Raises Unsupported for the first that frames and files cannot hold."""
    for name, kind in columns:
        if found := _UNFIT.search(_QUOTED.sub("", kind)):
            raise Unsupported(
                f"Column `{name}`",
                f"be given as it is, for frames and files have no type like {found[0]}",
                "Cast it in the SELECT, to text by `::varchar` or to another type.",
            )
