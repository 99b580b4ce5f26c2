"""The overview's tidy table, made of what the fold gave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.reports.buckets import Buckets, coarser
from workbench.reports.columns import Ints, distinct, places
from workbench.reports.rules import Rules
from workbench.reports.stitching import Traffic
from workbench.reports.zones import DAY, HOUR, MINUTE, Zone

__all__ = ["SCHEMA", "rows"]

SCHEMA = pa.schema(
    [
        pa.field("period", pa.string(), False),  # current, previous
        pa.field("breakdown", pa.string(), False),  # total, time, page, source, device, country
        ("at", pa.timestamp("ms", "UTC")),  # of time: the bucket's first instant
        ("value", pa.string()),  # of time: the bucket in the zone; else the page, …; NULL is none
        pa.field("visitors", pa.int64(), False),
        ("sessions", pa.int64()),  # those that began there; NULL for pages
        ("bounces", pa.int64()),
        ("page_views", pa.int64()),
        ("events", pa.int64()),
        ("duration_ms", pa.int64()),  # of all sessions together
        ("bounce_rate", pa.float64()),  # NULL without sessions
        ("mean_duration", pa.float64()),  # seconds
        ("views_per_session", pa.float64()),
    ]
)


def rows(period: str, traffic: Traffic, time: Buckets, zone: Zone, rules: Rules) -> pa.Table:
    """One row for the whole, one for each bucket (empty ones too), and one for each value of each dimension, those with
    the most visitors first."""
    lasted = traffic.last - traffic.first
    bounced = rules.bounced(lasted, traffic.views, traffic.active, traffic.key)
    sessions = _Sessions(bounced, rules.lengths(lasted, bounced), traffic.views, traffic.events)
    made = [_total(period, traffic, sessions), _time(period, traffic, sessions, time, zone)]
    if traffic.pages is not None:
        made.append(_pages(period, traffic))
    for name, (codes, values) in traffic.tags.items():
        made.append(_tags(period, name, traffic, sessions, codes, values))
    return pa.concat_tables(made)


class _Sessions:
    def __init__(self, bounced: Any, lengths: Ints, views: Ints, events: Ints) -> None:
        self.bounced, self.lengths, self.views, self.events = bounced, lengths, views, events

    def sums(self, group: Ints, count: int) -> dict[str, Ints]:
        """By group; whole numbers are added as such, for doubles end at 2**53."""
        made = {"sessions": np.bincount(group, minlength=count)}
        made["bounces"] = np.bincount(group[self.bounced], minlength=count)
        made["duration_ms"] = np.zeros(count, np.int64)
        np.add.at(made["duration_ms"], group, self.lengths)
        return made


def _table(period: str, breakdown: str, columns: dict[str, Any]) -> pa.Table:
    size = len(columns["visitors"])
    columns = {"period": [period] * size, "breakdown": [breakdown] * size, **columns}
    if columns.get("sessions") is not None:
        sessions = np.asarray(columns["sessions"], np.float64)
        none = sessions == 0
        rates = {
            "bounce_rate": (columns["bounces"], 1.0),
            "mean_duration": (columns["duration_ms"], 1000.0),
            "views_per_session": (columns.pop("session_views"), 1.0),
        }
        with np.errstate(all="ignore"):
            for name, (above, per) in rates.items():
                columns[name] = pa.array(np.asarray(above) / per / sessions, pa.float64(), mask=none)
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(size, f.type) for f in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _total(period: str, traffic: Traffic, sessions: _Sessions) -> pa.Table:
    columns: dict[str, Any] = dict(sessions.sums(np.zeros(len(sessions.bounced), np.int64), 1))
    columns["visitors"] = [traffic.visitors]
    columns["events"] = [int(traffic.bucket_events.sum())]
    columns["page_views"] = [int(traffic.bucket_views.sum())]
    columns["session_views"] = [int(traffic.views.sum())]
    return _table(period, "total", columns)


def _time(period: str, traffic: Traffic, sessions: _Sessions, time: Buckets, zone: Zone) -> pa.Table:
    ids = time.ids
    began = places(ids, _bucket_ids(traffic.first, time.granularity, zone))
    columns: dict[str, Any] = dict(sessions.sums(began, len(ids)))
    columns["session_views"] = np.bincount(began, sessions.views, len(ids)).astype(np.int64)
    at = places(ids, traffic.bucket_id)
    for name, counts in (
        ("visitors", traffic.bucket_visitors),
        ("events", traffic.bucket_events),
        ("page_views", traffic.bucket_views),
    ):
        columns[name] = np.zeros(len(ids), np.int64)
        columns[name][at] = counts
    columns["at"] = pa.array(time.starts).cast(pa.timestamp("ms", "UTC"))
    columns["value"] = time.labels(zone)
    return _table(period, "time", columns)


def _bucket_ids(times: Ints, granularity: str, zone: Zone) -> Ints:
    offsets = zone.offsets(times)
    step = {"minute": MINUTE, "hour": HOUR}.get(granularity)
    if step is not None:
        return (times + offsets) // step * step - offsets
    days = (times + offsets) // DAY
    if granularity == "day" or not len(days):
        return days
    low = int(days.min())
    longer = np.array(coarser(list(range(low, int(days.max()) + 1)), granularity), np.int64)
    found: Ints = longer[days - low]
    return found


def _pages(period: str, traffic: Traffic) -> pa.Table:
    assert traffic.pages is not None
    names = traffic.pages.cast(pa.string())
    alphabet = np.empty(len(names), np.int64)
    alphabet[pc.array_sort_indices(names).to_numpy()] = np.arange(len(names))
    order = np.lexsort((alphabet, -traffic.page_views))
    order = order[traffic.page_views[order] > 0]
    columns = {
        "value": names.take(pa.array(order)),
        "visitors": traffic.page_visitors[order],
        "page_views": traffic.page_views[order],
    }
    return _table(period, "page", columns)


def _tags(period: str, name: str, traffic: Traffic, sessions: _Sessions, codes: Ints, values: pa.Array) -> pa.Table:
    """By what a session is told by; the last group is that of sessions which tell nothing."""
    count = len(values) + 1
    group = np.where(codes < 0, count - 1, codes)
    columns: dict[str, Any] = dict(sessions.sums(group, count))
    for measure, what in (("page_views", sessions.views), ("events", sessions.events)):
        columns[measure] = np.bincount(group, what, count).astype(np.int64)
    columns["session_views"] = columns["page_views"]
    columns["visitors"] = distinct(group, traffic.user, count)
    order = np.lexsort((np.arange(count), -columns["visitors"], -columns["sessions"]))
    order = order[columns["sessions"][order] > 0]
    names = pa.concat_arrays([values.cast(pa.string()), pa.array([None], pa.string())])
    made = {key: column[order] for key, column in columns.items()}
    return _table(period, name, {**made, "value": names.take(pa.array(order))})
