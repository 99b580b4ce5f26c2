"""Statements are kept for the history; passwords that stand in them are not."""

from __future__ import annotations

import re

__all__ = ["Redaction"]

_TELLS = re.compile(r"\b(identified\s+(by|with)|passw(or)?d|secret|credentials?)\b", re.IGNORECASE)
"""Words of statements that set or compare a password."""
_LITERAL = re.compile(r"""'(?:[^'\\]|\\.|'')*(?:'|\\?$)|"(?:[^"\\]|\\.|"")*(?:"|\\?$)""", re.DOTALL)
"""A quoted text, also one whose end was cut off."""
SHORTEST = 3
"""Characters of a password, where it is looked for without its quotes."""


class Redaction:
    """What is not kept of a run: every quoted text, where a word of its statement tells that one may be a password."""

    def __init__(self, *texts: str) -> None:
        self._any = any(_TELLS.search(text) for text in texts)
        found = {literal[0][1:].rstrip("'\"\\") for text in texts for literal in _LITERAL.finditer(text) if self._any}
        found |= {re.sub(r"""\\(.)|'(')|"(")""", r"\1\2\3", one) for one in found}  # as the source understands it
        self._bare = sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)

    def of(self, text: str) -> str:
        """The text without them: that of the statement, or an error that repeats some of it."""
        if not self._any:
            return text
        for one in self._bare:
            text = text.replace(one, "***")
        return _LITERAL.sub("'***'", text)
