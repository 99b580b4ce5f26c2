"""streams_processes_ours.py HEAVY LIGHT: topologies inline and in processes; what is told is the seconds from the
moment when all is ready, so the workers' start is not in it."""

import sys
import tempfile
import time
from pathlib import Path

from loop import serve
from streams_heavy import Heavy, HeavyBatch, Lines, Numbers, Pages, Parse

from workbench.runs import Register
from workbench.streams import Topology, fields

HEAVY, LIGHT = int(sys.argv[1]), int(sys.argv[2])
TURNS = 200
folder = tempfile.TemporaryDirectory()
register = Register(Path(folder.name) / "runs.sqlite")


def topology(task):
    what = task.partition(" ")[0]
    t = Topology("heavy", max_spout_pending=4_000)
    if what == "heavy":
        return t.spout("numbers", Numbers(HEAVY)).bolt("work", Heavy(TURNS), inputs="numbers", parallelism=2)
    if what == "parse":
        t.spout("lines", Lines(HEAVY)).bolt("parse", Parse(), inputs="lines", parallelism=2)
        return t.bolt("pages", Pages(), inputs=[("parse", fields("page"))], parallelism=2)
    if what == "row":
        return t.spout("numbers", Numbers(LIGHT)).bolt("work", Heavy(0), inputs="numbers")
    return t.spout("numbers", Numbers(LIGHT, 1_000)).bolt("work", HeavyBatch(), inputs="numbers")


def do(task):
    workers = int(task.rpartition(" ")[2])
    how = {"runner": "processes", "workers": workers} if workers else {}
    running = topology(task).run(register=register, **how)
    began = time.perf_counter()
    running.wait()
    took = time.perf_counter() - began
    executed = running.metrics().count("acked", "lines" if task.startswith("parse") else "numbers")
    if running.state != "done" or executed != (HEAVY if task.startswith(("heavy", "parse")) else LIGHT):
        raise RuntimeError(f"{running.state}, {executed} rows")
    return took


serve(do)
