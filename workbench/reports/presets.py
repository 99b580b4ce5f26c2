"""Columns of known trackers and stores, by name. A preset is a starting point: what is given wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.contract.errors import InvalidParameter, near
from workbench.reports.rules import PASSIVE

__all__ = ["PRESETS", "Column", "Expr", "Preset", "preset"]


@dataclass(frozen=True)
class Expr:
    """A column that is computed: an expression in DuckDB's SQL over the table's columns."""

    sql: str


Column = str | Expr
"""A column's name, `struct.field` for a field of one, or an expression."""


@dataclass(frozen=True)
class Preset:
    columns: Mapping[str, Column] = field(default_factory=dict)
    unit: str | None = None
    page_views: tuple[str, ...] = ("page_view", "pageview", "$pageview")
    passive: tuple[str, ...] = PASSIVE


_GA4_PAGE = "list_filter(event_params, lambda one: one.key = 'page_location')[1].value.string_value"

_SHOP = {"time": "ts", "event": "event_name", "page": "page", "source": "source", "device": "device"}
_GA4 = {"time": "event_timestamp", "event": "event_name", "source": "traffic_source.source"}
_GA4_WHERE = {"device": "device.category", "country": "geo.country"}
_LOG = {"time": "time", "event": "kind", "page": "path", "referrer": "referrer", "device": "device"}

PRESETS: dict[str, Preset] = {
    "shop": Preset({"user": "client_id", **_SHOP, "country": "country"}),
    "ga4": Preset({"user": "user_pseudo_id", **_GA4, "page": Expr(_GA4_PAGE), **_GA4_WHERE}, unit="us"),
    "log": Preset({"user": "host", **_LOG}, passive=("asset", "error", "redirect", "other")),
}
"""`shop`: the demo shop's events. `ga4`: the BigQuery export of Google Analytics 4. `log`: an access log."""


def preset(name: str | None) -> Preset:
    if name is None:
        return Preset()
    if name not in PRESETS:
        did = near(str(name), PRESETS)
        hint = f" Did you mean `{did[0]}`?" if did else ""
        raise InvalidParameter("preset", f"is `{name}`; there are {', '.join(f'`{one}`' for one in PRESETS)}.{hint}")
    return PRESETS[name]
