"""Small pieces of SQL that both halves of the demo are made with.

Every chance is a hash of the row's own key, a purpose and the seed: rows are made side by side, and the same seed
gives the same rows whatever the number of threads. (Another DuckDB may hash otherwise: a test with known sums notices,
and then `shape.FORM` has to grow.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from workbench.demo.shape import COUNTRIES, DEVICES, Shape

__all__ = ["literal", "macros", "weighted"]


def literal(value: object) -> str:
    """A Python value as SQL."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(literal(one) for one in value) + "]"
    return str(value)


def weighted(weights: Mapping[str, int]) -> list[str]:
    """Each word as often as it weighs, so that one look-up in the list is a weighted choice."""
    return [word for word, weight in weights.items() for _ in range(weight)]


def macros(engine: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    """`u(key, purpose)` is evenly spread over [0, 1); `pick` chooses from a list; the others are facts about a
    customer, a client or an item that both halves must agree on."""
    statements: Sequence[str] = (
        f"macro u(k, purpose) as (hash(k, purpose, {shape.seed}) >> 11)::double / 9007199254740992.0",
        "macro pick(words, k, purpose) as words[1 + floor(u(k, purpose) * len(words))::bigint]",
        f"macro country_of(k) as pick({literal(weighted(COUNTRIES))}, k, 'country')",
        f"macro device_of(k) as pick({literal(weighted(DEVICES))}, k, 'device')",
        # A few things are bought by many, and a few people buy a lot.
        f"macro some_item(k, purpose) as 1 + floor({shape.items} * power(u(k, purpose), 2.2))::integer",
        f"macro some_customer(k, purpose) as 1 + floor({shape.customers} * power(u(k, purpose), 1.5))::bigint",
        "macro price_of(item) as (floor(exp(1.2 + 3.3 * u(item, 'price'))) + 0.99)::decimal(10, 2)",
        "macro quantity_of(k) as 1 + floor(4 * power(u(k, 'quantity'), 4))::integer",
        "macro discount_of(k) as "
        "case when u(k, 'discount') < 0.15 then 10 when u(k, 'discount') < 0.2 then 25 else 0 end",
        "macro total_of(quantity, price, discount) as (quantity * price * (100 - discount) / 100)::decimal(12, 2)",
    )
    for statement in statements:
        engine.execute(f"create or replace temp {statement}")
