"""overview_chdb.py FOLDER: the same numbers by chdb. Visitors by hash sets a minute; sessions by an array of times a
user, sorted and split where the gap is too long, which beats window functions there."""

import json
import resource
import sys

from chdb import session
from loop import serve

FILES = f"file('{sys.argv[1]}/*.parquet')"
engine = session.Session()
SETTINGS = ("schema_inference_make_columns_nullable=0", "max_threads=2", "session_timezone='UTC'")
for setting in SETTINGS:
    engine.query("set " + setting)
MINUTES = f"""
select count(), sum(views), sum(visitors) from (
  select toStartOfMinute(ts) as minute, count() as views, uniqExact(user_id) as visitors
  from {FILES} group by minute)"""
SESSIONS = f"""
with runs as (
  select arrayJoin(arraySplit((at, gap) -> gap > 1800000, times, arrayDifference(times))) as run
  from (select arraySort(groupArray(toUnixTimestamp64Milli(ts))) as times from {FILES} group by user_id))
select toString(toDate(intDiv(run[1], 86400000))) as day, count(), sum(length(run) = 1), sum(run[-1] - run[1])
from runs group by day order by day"""


def rows(text):
    return [json.loads(line) for line in str(engine.query(text, "JSONCompactEachRow")).splitlines()]


def run(task):
    return rows(MINUTES), rows(SESSIONS)


def check(found):
    (minutes, views, visitors), days = found[0][0], found[1]
    numbers = {"minutes": int(minutes), "page_views": int(views), "visitors": int(visitors)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    days = [[day, *(int(value) for value in values)] for day, *values in days]
    return {"numbers": {**numbers, "days": days}, "peak": peak}


serve(run, check)
