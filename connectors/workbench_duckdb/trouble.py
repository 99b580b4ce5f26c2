"""DuckDB's errors as the contract's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from workbench.contract.errors import Cancelled, QueryFailed, SnapshotChanged, WorkbenchError

__all__ = ["named"]


@contextmanager
def named(connection: str, text: str = "", planned: str = "") -> Iterator[None]:
    """`planned`: the table whose plan runs, which fitted when it was made."""
    try:
        yield
    except WorkbenchError:
        raise
    except duckdb.InterruptException:
        raise Cancelled("The scan") from None
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        if planned:
            raise SnapshotChanged(planned, _first(error), connection) from None
        raise QueryFailed(_first(error), type(error).__name__, text, connection) from None
    except duckdb.Error as error:
        raise QueryFailed(_first(error), type(error).__name__, text, connection) from None


def _first(error: duckdb.Error) -> str:
    """The first paragraph, without DuckDB's own `Binder Error: ` in front."""
    text = str(error).strip().partition("\n\nLINE ")[0].replace("\n", " ")
    head, colon, rest = text.partition(" Error: ")
    return rest if colon and " " not in head.strip() else text
