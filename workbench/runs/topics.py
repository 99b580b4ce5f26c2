"""A topic is a state that changes: whoever subscribes gets a snapshot first, then numbered changes.

Plain code without a socket, a thread or a clock: what is to be sent waits in mailboxes, and a mailbox that is not
emptied in time gets a new snapshot instead of what it missed, with the count of what that was.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Frame", "Mailbox", "Topic"]

Frame = dict[str, Any]
"""JSON: `{"topic", "number", "snapshot"}`, `{"topic", "number", "change"}` or `{"topic", "number", "end"}`; a
snapshot has `dropped` where it stands for changes that the subscriber was too slow for, an end `error` where the state
before it is not the last one."""
_MISSING = object()


class Mailbox:
    """What one subscriber has not been sent yet, at most `most` frames. `wake` is called, from the thread that
    changed the topic, when something is there to take."""

    def __init__(self, topic: Topic, most: int, wake: Callable[[], object]) -> None:
        self._topic, self._most, self._wake = topic, most, wake
        self._frames: deque[Frame] = deque()
        self._behind, self._dropped = True, 0

    def take(self) -> list[Frame]:
        """What is to be sent now, in order."""
        with self._topic._lock:
            frames: list[Frame] = []
            if self._behind:
                frames.append(self._topic._snapshot(self._dropped))
                self._behind, self._dropped = False, 0
            frames += self._frames
            self._frames.clear()
            return frames

    def close(self) -> None:
        """The subscriber has gone. Idempotent."""
        with self._topic._lock:
            self._topic._mailboxes.discard(self)

    def _put(self, frame: Frame) -> None:
        if self._behind and "end" not in frame:
            # Before the first snapshot nothing is missed: it will have it all.
            self._dropped += 1 if self._dropped else 0
            return
        if len(self._frames) >= self._most and "end" not in frame:
            self._dropped += len(self._frames) + 1
            self._frames.clear()
            self._behind = True
            return
        self._frames.append(frame)


class Topic:
    """`state` is a flat dict of JSON values. Changes say which of them are others now. Thread-safe."""

    def __init__(self, name: str, state: Mapping[str, Any]) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._state: dict[str, Any] = dict(state)
        self._number = 0
        self._ended, self._error = False, ""
        self._mailboxes: set[Mailbox] = set()

    @property
    def watched(self) -> bool:
        """Whether anybody has subscribed, so that changes are worth working out."""
        return bool(self._mailboxes)

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def number(self) -> int:
        """Of the last change."""
        return self._number

    def change(self, /, **values: Any) -> None:
        """Sets values; those that are as before are not told. Nothing happens to a topic that has ended."""
        with self._lock:
            changed = {key: value for key, value in values.items() if self._state.get(key, _MISSING) != value}
            if not changed or self._ended:
                return
            self._state.update(changed)
            self._number += 1
            self._send({"topic": self.name, "number": self._number, "change": changed})
            mailboxes = list(self._mailboxes)
        for mailbox in mailboxes:
            mailbox._wake()

    def end(self, error: str = "") -> None:
        """There will be no more changes; `error` says why none can be told any more. Whoever subscribes now gets the
        last state and the end. Idempotent."""
        with self._lock:
            if self._ended:
                return
            self._ended, self._error = True, error
            self._send(self._last())
            mailboxes = list(self._mailboxes)
        for mailbox in mailboxes:
            mailbox._wake()

    def subscribe(self, wake: Callable[[], object], most: int = 64) -> Mailbox:
        """A mailbox that holds a snapshot by now."""
        mailbox = Mailbox(self, most, wake)
        with self._lock:
            self._mailboxes.add(mailbox)
            if self._ended:
                mailbox._frames.append(self._last())
        return mailbox

    # --- under the lock

    def _snapshot(self, dropped: int) -> Frame:
        frame: Frame = {"topic": self.name, "number": self._number, "snapshot": dict(self._state)}
        return {**frame, "dropped": dropped} if dropped else frame

    def _last(self) -> Frame:
        frame: Frame = {"topic": self.name, "number": self._number, "end": True}
        return {**frame, "error": self._error} if self._error else frame

    def _send(self, frame: Frame) -> None:
        for mailbox in self._mailboxes:
            mailbox._put(frame)
