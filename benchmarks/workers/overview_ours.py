"""overview_ours.py FOLDER: the overview of the events in a folder, through `wb.reports`."""

import collections
import resource
import sys

from loop import serve

import workbench as wb

EVENTS = wb.reports.Events(f"{sys.argv[1]}/*.parquet", user="user_id", time="ts")
OVERVIEW = wb.reports.Overview(
    period="2026-03-02..2026-05-31", granularity="minute", definition="plausible", compare=False
)


def run(task):
    return OVERVIEW.on(EVENTS).arrow()


def check(table):
    """Sessions by minute are added up to days; minutes without an event do not count."""
    days = collections.defaultdict(lambda: [0, 0, 0])
    minutes = views = visitors = 0
    columns = ("breakdown", "value", "events", "page_views", "visitors", "sessions", "bounces", "duration_ms")
    for row in table.select(columns).to_pylist():
        if row["breakdown"] == "time":
            minutes, views, visitors = (
                minutes + (row["events"] > 0),
                views + row["page_views"],
                visitors + row["visitors"],
            )
            day = days[row["value"][:10]]
            for place, name in enumerate(("sessions", "bounces", "duration_ms")):
                day[place] += row[name]
    found = [[day, *sums] for day, sums in sorted(days.items())]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"numbers": {"minutes": minutes, "page_views": views, "visitors": visitors, "days": found}, "peak": peak}


serve(run, check)
