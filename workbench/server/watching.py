"""What one viewer watches: some topics of the hub, whatever way their frames go to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any

from workbench.contract.errors import WorkbenchError
from workbench.runs.topics import Frame, Mailbox
from workbench.server.hub import Hub
from workbench.server.pool import Busy

__all__ = ["MOST_TOPICS", "Watch", "refused"]

MOST_TOPICS = 100


def refused(topic: str, why: object) -> dict[str, Any]:
    """What is said in a frame's place where a topic is not to be had."""
    return {"topic": topic[:200], "error": str(why)}


NOT_FOR_YOU = "It is not for you, or it is over."


class Watch:
    """The topics' frames, as they come. A topic that is not there, or that `permitted` says no to, is told as
    `refused`, and the others go on. `async with` it; used by one task."""

    def __init__(
        self,
        hub: Hub,
        topics: Sequence[str],
        cursors: Sequence[str] = (),
        permitted: Callable[[str], Awaitable[bool]] | None = None,
        still_in: Callable[[], bool] = lambda: True,
    ) -> None:
        self._hub, self._topics = hub, list(dict.fromkeys(topics))[:MOST_TOPICS]
        self._permitted, self._still_in = permitted, still_in
        self._cursors = dict(zip(topics, cursors, strict=False))
        self._some = asyncio.Event()
        self._mailboxes: dict[str, Mailbox] = {}
        self._refused: list[Frame] = []

    async def __aenter__(self) -> Watch:
        try:
            for topic in self._topics:
                if self._permitted is not None and not await self._permitted(topic):
                    self._refused.append(Frame(refused(topic, NOT_FOR_YOU)))
                    continue
                try:
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
            if self._mailboxes and not self._still_in():
                self._refused += [Frame(refused(topic, NOT_FOR_YOU)) for topic in self._mailboxes]
                self.close()
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
