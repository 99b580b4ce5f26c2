"""What somebody who reads an overview has to know of the data behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.reports.stitching import Traffic

if TYPE_CHECKING:
    from workbench.reports.overview import Overview
    from workbench.reports.report import Report

__all__ = ["notes"]


def notes(definition: Overview, report: Report) -> list[str]:
    made = []
    traffic: Traffic = report.answers["current"]
    events = int(traffic.bucket_events.sum())
    if not events:
        made.append("There are no events in this period.")
    if timeless := max(traffic.timeless, report.answers.get("timeless", 0)):
        made.append(
            f"{timeless:,} {'event has' if timeless == 1 else 'events have'} no time, and no place in a period."
        )
    if traffic.userless:
        made.append(
            f"{traffic.userless:,} of {events:,} events have no user: they are counted as events and page views, and "
            "belong to no visitor and no session."
        )
    if events and "event" in report.events.columns and not traffic.bucket_views.sum():
        names = sorted(traffic.names, key=lambda name: (-traffic.names[name], name))[:5]
        seen = ", ".join(f"`{_printable(name)}`" for name in names)
        wanted = ", ".join(f"`{_printable(name)}`" for name in sorted(report.events.page_views))
        made.append(f"No event is a page view ({wanted}). There are {seen}: say which, `Events(…, page_views=[…])`.")
    if definition.where:
        parts = [f"{role} in {', '.join(map(_value, values))}" for role, values in definition.where]
        made.append(f"Only events with {' and '.join(parts)}; sessions are made of these.")
    if "previous" not in report.answers and definition.compare:
        made.append("Nothing lies before `all`, so there is nothing to compare with.")
    read = report.events.log_read
    if read is not None:
        made += repr(read).splitlines()[:1]
    return made


def _value(value: object) -> str:
    return "none" if value is None else _printable(str(value))


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
