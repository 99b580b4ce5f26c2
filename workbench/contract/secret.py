"""A secret is an object, so that it cannot be printed by accident."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["Secret"]


class Secret:
    """A password or key. Its repr, str and format are `***`; it cannot be pickled, copied into JSON or compared
    by a debugger's eyes. Only `reveal()`, called at the moment of logging in, gives the text. `variable` names the
    environment variable that it came from, if it did: for messages."""

    __slots__ = ("__text", "variable")

    def __init__(self, text: str, variable: str = "") -> None:
        self.__text = text
        self.variable = variable

    def reveal(self) -> str:
        """The text itself. Call it in the argument of the log-in, and keep it nowhere."""
        return self.__text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret is never pickled: open the connection by its name in the other process.")

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.__text == self.__text

    def __hash__(self) -> int:
        return hash(self.__text)
