"""Windows over Arrow tables: their rows are as those that come one by one."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from workbench.streams import Topology, tumbling
from workbench.streams.running import Running


def test_rows_have_their_fields_by_name(started: Callable[..., Running]) -> None:
    table = pa.table({"at": [100, 200, 1_200], "page": ["/a", "/b", "/a"]})
    seen: list[list[str]] = []
    topology = Topology("named").spout("views", lambda: iter([table]), outputs=("at", "page"))

    def pages(window: object) -> None:
        seen.append([row.page for row in window])  # type: ignore[attr-defined]

    topology.bolt("pages", pages, inputs="views", window=tumbling("1s", time="at"))
    running = started(topology)
    running.wait(20)
    assert running.errors == []
    assert seen == [["/a", "/b"], ["/a"]]
