"""What is done with each row of a batch of changes, by the mode of the write and the batch's own operations."""

from __future__ import annotations

from workbench.contract.change import Changes, WriteSpec
from workbench.contract.errors import InvalidParameter

__all__ = ["operations"]


def operations(changes: Changes, spec: WriteSpec) -> list[str]:
    """`insert`, `upsert` or `delete` for each row. Raises InvalidParameter where the batch says something else, or an
    operation needs a key that is not there."""
    count = changes.rows.num_rows
    if changes.ops is None:
        return [spec.mode] * count
    if len(changes.ops) != count:
        raise InvalidParameter("changes", f"have {len(changes.ops)} operations for {count} rows")
    words = {"insert": spec.mode, "update": "upsert", "delete": "delete"}
    said = changes.ops.to_pylist()
    for one in set(said):
        if one not in words:
            raise InvalidParameter("changes", f"have the operation `{one}`; it is insert, update or delete")
        if words[one] != "insert" and not spec.key:
            raise InvalidParameter("key", f"is needed for `{one}`: the columns that say which row is meant")
    return [words[one] for one in said]
