"""What the bytes of the demo shop's tables mean, when it is loaded into HBase."""

from __future__ import annotations

from typing import Any

__all__ = ["TABLES"]


def _table(key: str, kind: str, **columns: str) -> dict[str, Any]:
    cells = {name: {"type": one, "cell": f"d:{name}"} for name, one in columns.items()}
    return {"key": [{"name": key, "type": kind}], "columns": cells, "marker": "d:_"}


TABLES = {
    "customers": _table(
        "customer_id", "sorted_long", name="text", email="text", country="text", segment="text", signed_up="text",
        birth_year="short", newsletter="boolean",
    ),
    "items": _table(
        "item_id", "sorted_int", name="text", category="text", brand="text", price="text", cost="text", added="text",
        active="boolean",
    ),
    "orders": _table(
        "order_id", "sorted_long", customer_id="long", item_id="int", ordered_at="time", quantity="int",
        unit_price="text", discount="short", total="text", status="text", channel="text", source="text",
    ),
}  # fmt: skip
"""Prices and days are text: they are cast where one calculates with them."""
