"""latency_streamz.py SECONDS: a count of paced events by streamz, in the thread that waits for the next event."""

import sys

from latency_data import Clock, Counted, check, pages
from loop import serve
from streamz import Stream

PAGES = pages(int(sys.argv[1]))


def count(task):
    counted, source, clock = Counted(), Stream(), Clock()
    source.map(lambda event: event).sink(lambda event: counted.add(*event))
    for number, page in enumerate(PAGES):
        clock.sleep_until(number)
        source.emit((page, clock.due(number)))
    return counted


serve(count, check)
