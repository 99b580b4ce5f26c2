"""SQL's LIKE for names of tables, as `Tables.list` takes it."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["like"]


def like(pattern: str) -> Callable[[str], object]:
    """Whether a name fits: `%` is any text, `_` one letter, case is ignored; an empty pattern fits all."""
    text = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern or "%")
    return re.compile(text, re.IGNORECASE | re.DOTALL).fullmatch
