"""What one viewer watches: some topics of the hub, whatever way their frames go to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from workbench.contract.errors import WorkbenchError
from workbench.runs.topics import Frame, Mailbox
from workbench.server.hub import Hub
from workbench.server.looking import Door
from workbench.server.pool import Busy

__all__ = ["MOST_TOPICS", "Watch", "refused"]

MOST_TOPICS = 100


def refused(topic: str, why: object) -> dict[str, Any]:
    """What is said in a frame's place where a topic is not to be had."""
    return {"topic": topic[:200], "error": str(why)}


class Watch:
    """The topics' frames, as they come. A topic that is not there, or that the `door` says no to, also later, is
    told as `refused`, and the others go on. `async with` it; used by one task."""

    def __init__(self, hub: Hub, door: Door, topics: Sequence[str], cursors: Sequence[str] = ()) -> None:
        self._hub, self._topics = hub, list(dict.fromkeys(topics))[:MOST_TOPICS]
        self._door = door
        self._leave: Callable[[], object] = lambda: None
        self._cursors = dict(zip(topics, cursors, strict=False))
        self._some = asyncio.Event()
        self._mailboxes: dict[str, Mailbox] = {}
        self._refused: list[Frame] = []

    async def __aenter__(self) -> Watch:
        self._leave = self._door.listen(self._some.set)
        try:
            for topic in self._topics:
                try:
                    if why := await self._door.why_not(topic):
                        self._refused.append(Frame(refused(topic, why)))
                        continue
                    mailbox = await self._hub.subscribe(topic, self._some.set, self._cursors.get(topic, ""))
                except (WorkbenchError, Busy) as error:
                    self._refused.append(Frame(refused(topic, error)))
                else:
                    self._mailboxes[topic] = mailbox
        except BaseException:
            self.close()
            raise
        self._some.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The viewer has gone. Idempotent."""
        self._leave()
        for mailbox in self._mailboxes.values():
            mailbox.close()
        self._mailboxes.clear()

    @property
    def over(self) -> bool:
        """Whether nothing can come any more."""
        return not (self._mailboxes or self._refused)

    @property
    def cursors(self) -> list[str]:
        """Of each topic in order: from where on another watch would go on. Empty for one that has ended."""
        return [self._mailboxes[one].cursor if one in self._mailboxes else "" for one in self._topics]

    async def frames(self) -> list[Frame]:
        """What is new, at least one; none once all topics have ended."""
        while not self.over:
            await self._some.wait()
            self._some.clear()
            for topic, mailbox in list(self._mailboxes.items()):
                if why := self._door.why_not_any_more(topic):
                    self._refused.append(Frame(refused(topic, why)))
                    mailbox.close()
                    del self._mailboxes[topic]
            if found := self._taken():
                return found
        return []

    def _taken(self) -> list[Frame]:
        found, self._refused = self._refused, []
        for topic, mailbox in list(self._mailboxes.items()):
            frames = mailbox.take()
            found += frames
            if frames and "end" in frames[-1]:
                mailbox.close()
                del self._mailboxes[topic]
        return found
