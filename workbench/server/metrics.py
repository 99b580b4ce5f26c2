"""All topologies that run for this user, in any process, as a Prometheus server scrapes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from jupyter_server.auth.decorator import authorized
from tornado import web

from workbench.contract.errors import WorkbenchError
from workbench.runs import RunInfo, subscriber
from workbench.runs.register import Engine
from workbench.server.handlers import Handler
from workbench.server.looking import WAYS, Looks
from workbench.streams.prometheus import CONTENT_TYPE, PREFIX, label, merged
from workbench.streams.watched import TITLE

__all__ = ["HANDLERS", "Metrics"]

MOST_RUNS = 100
PATIENCE = 3.0
"""Seconds that the engines have, all at once."""
LONGEST = 4 << 20
"""Characters of one topology's text."""
AT_ONCE = 8
"""Texts that are fetched side by side."""
TYPE = f"# TYPE {PREFIX}_up gauge\n"


class Metrics(Looks, Handler):
    auth_resource = "workbench:runs"

    @web.authenticated
    @authorized
    async def get(self) -> None:
        found = await self.blocking(self._running)
        places = asyncio.Semaphore(AT_ONCE)

        async def told(info: RunInfo, engine: Engine | None) -> str | None:
            async with places:
                if engine is None:
                    return None
                try:
                    return await subscriber.text(engine, info.id, "metrics", LONGEST, PATIENCE)
                except WorkbenchError as error:
                    self.log.debug("workbench: no metrics of run %s: %s", info.id, error)
                    return None

        texts = await asyncio.gather(*(told(*one) for one in found))
        up = [
            f"{PREFIX}_up{{{label('topology', _name(info))},{label('run', info.id)}}} {int(text is not None)}\n"
            for (info, _), text in zip(found, texts, strict=True)
        ]
        ours = [TYPE, *up, *self._looking()]
        whole = await asyncio.to_thread(merged, ["".join(ours), *(text for text in texts if text is not None)])
        self.finish(whole, set_content_type=CONTENT_TYPE)

    def _looking(self) -> Iterator[str]:
        """Who looks at topics of this server, by way."""
        yield f"# TYPE {PREFIX}_viewers gauge\n"
        for way in WAYS:
            yield f"{PREFIX}_viewers{{{label('way', way)}}} {self.viewers.ways[way]}\n"
        yield f"# TYPE {PREFIX}_viewers_dropped_total counter\n"
        for way in WAYS:
            yield f"{PREFIX}_viewers_dropped_total{{{label('way', way)}}} {self.viewers.dropped[way]}\n"

    def _running(self) -> list[tuple[RunInfo, Engine | None]]:
        register = self.services.register
        topologies = [info for info in register.runs(active=True, limit=1_000) if info.kind == "topology"]
        return [(info, register.engine(info.id)) for info in topologies[:MOST_RUNS]]


def _name(info: RunInfo) -> str:
    return info.title.removeprefix(TITLE)


HANDLERS = [("metrics", Metrics)]
