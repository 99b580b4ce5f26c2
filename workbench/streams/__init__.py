"""Storm's model in Python: topologies of spouts and bolts, run beside the notebook.

import workbench as wb

@wb.streams.spout("page")
def views():
    yield from ("/", "/cart", "/")

t = wb.streams.Topology("trending")
t.spout("views", views)
t.bolt("count", CountPages, inputs=[("views", wb.streams.fields("page"))])
run = t.run()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.streams.component import (
        Bolt as Bolt,
        IteratorSpout as IteratorSpout,
        Spout as Spout,
        bolt as bolt,
        spout as spout,
    )
    from workbench.streams.events import ServerSentEvents as ServerSentEvents
    from workbench.streams.feeding import Feed as Feed
    from workbench.streams.groupings import (
        all_ as all_,
        custom as custom,
        direct as direct,
        fields as fields,
        global_ as global_,
        local_or_shuffle as local_or_shuffle,
        none as none,
        partial_key as partial_key,
        shuffle as shuffle,
    )
    from workbench.streams.polling import TablePoll as TablePoll
    from workbench.streams.rates import Rate as Rate
    from workbench.streams.sinks import ParquetSink as ParquetSink, Sink as Sink
    from workbench.streams.spouts import ParquetReplay as ParquetReplay, Tail as Tail
    from workbench.streams.state import State as State, StatefulBolt as StatefulBolt
    from workbench.streams.tapping import LiveSink as LiveSink
    from workbench.streams.topology import Topology as Topology
    from workbench.streams.tuples import Batch as Batch, Origin as Origin
    from workbench.streams.views import (
        FunnelNow as FunnelNow,
        Gauge as Gauge,
        LiveTable as LiveTable,
        Series as Series,
        TopN as TopN,
    )
    from workbench.streams.watched import find as find
    from workbench.streams.webhook import Webhook as Webhook
    from workbench.streams.websocket import WebSocket as WebSocket
    from workbench.streams.windows import session as session, sliding as sliding, tumbling as tumbling

_MODULES = {
    **dict.fromkeys(("Bolt", "IteratorSpout", "Spout", "bolt", "spout"), "workbench.streams.component"),
    **dict.fromkeys(
        (
            *("all_", "custom", "direct", "fields", "global_"),
            *("local_or_shuffle", "none", "partial_key", "shuffle"),
        ),
        "workbench.streams.groupings",
    ),
    **dict.fromkeys(("session", "sliding", "tumbling"), "workbench.streams.windows"),
    **dict.fromkeys(("FunnelNow", "Gauge", "LiveTable", "Series", "TopN"), "workbench.streams.views"),
    "LiveSink": "workbench.streams.tapping",
    "Batch": "workbench.streams.tuples",
    "Feed": "workbench.streams.feeding",
    "Origin": "workbench.streams.tuples",
    "ParquetReplay": "workbench.streams.spouts",
    "ParquetSink": "workbench.streams.sinks",
    "Rate": "workbench.streams.rates",
    "ServerSentEvents": "workbench.streams.events",
    "Sink": "workbench.streams.sinks",
    "State": "workbench.streams.state",
    "StatefulBolt": "workbench.streams.state",
    "TablePoll": "workbench.streams.polling",
    "Tail": "workbench.streams.spouts",
    "Topology": "workbench.streams.topology",
    "WebSocket": "workbench.streams.websocket",
    "Webhook": "workbench.streams.webhook",
    "find": "workbench.streams.watched",
}

__all__ = [
    "Batch", "Bolt", "Feed", "FunnelNow", "Gauge", "IteratorSpout", "LiveSink", "LiveTable", "Origin",
    "ParquetReplay", "ParquetSink", "Rate", "Series", "ServerSentEvents", "Sink", "Spout", "State", "StatefulBolt",
    "TablePoll", "Tail", "TopN", "Topology", "WebSocket", "Webhook", "all_", "bolt", "custom", "direct", "fields",
    "find", "global_", "local_or_shuffle", "none", "partial_key", "session", "shuffle", "sliding", "spout",
    "tumbling",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'workbench.streams' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
