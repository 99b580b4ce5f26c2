"""Decimals of more digits than the engine has: they come as text, which an error of the engine does not say."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa

from workbench.contract.errors import QueryFailed, SqlSyntaxError
from workbench.query.tokens import tokens

__all__ = ["explained"]

_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_CANDIDATES = re.compile(r"\s*Candidate functions:.*?(?= \(line|$)", re.DOTALL)
_MOST = 38


def explained(error: BaseException, text: str, tables: Mapping[str, pa.Schema]) -> BaseException:
    """The same error; where it is about text, with the columns of the statement that are text for that reason."""
    if not isinstance(error, (SqlSyntaxError, QueryFailed)) or "VARCHAR" not in str(error):
        return error
    words = {token.name.casefold() for token in tokens(text) if token.kind in ("word", "quoted")}
    hints = []
    for table, schema in tables.items():
        for field in schema:
            told = (field.metadata or {}).get(b"source_type", b"").decode("utf-8", "replace").lower()
            found = _DECIMAL.match(told)
            if found is not None and pa.types.is_string(field.type) and field.name.casefold() in words:
                scale = min(int(found[2]), _MOST)
                hints.append(
                    f"`{field.name}` of `{table}` is a {found[0]}, which comes as text, for it has more than {_MOST} "
                    f"digits: write `{field.name}::decimal({_MOST}, {scale})` or `{field.name}::double`."
                )
    if hints:
        said = _CANDIDATES.sub("", str(error.args[0]))
        error.args = (" ".join([f"{said}.", *hints]),)
        if isinstance(error, QueryFailed):
            error.message = error.args[0]
    return error
