"""A topic is a state that changes: whoever subscribes gets a snapshot first, then numbered changes.

Plain code without a socket, a thread or a clock: what is to be sent waits in mailboxes. One that is not emptied in time
holds all that it missed as one change, and of values that pile up the newest only, so that whoever is slow costs no
more memory than the state has, and is right as soon as it looks.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Frame", "Mailbox", "Topic", "apply"]

_MISSING = object()
RECENT = 128
"""Changes that are kept for who comes back with a cursor."""


class Frame(dict[str, Any]):
    """JSON: `{"topic", "number", "snapshot"}`, `{"topic", "number", "change", "append"}` or `{"topic", "number",
    "end"}`.

    A snapshot is the whole state. `keep` says of which values, lists all, only so many of the newest are kept; it is in
    a snapshot where there are some, and in a change where they are others now. A change says which values are others
    now (`change`) and what comes behind those of a list (`append`); either may be missing. Its `number` is one more
    than that of the frame before, or it stands for several changes, and `after` is the number of the last one before
    them. An end has an `error` where the state before it is not the last one.
    """

    _text = ""

    @property
    def text(self) -> str:
        """As one line of JSON, in which numbers that JSON does not have are null. Made once, however many viewers it
        goes to: a frame that was sent is not changed."""
        if not self._text:
            self._text = _json(self)
        return self._text

    @property
    def after(self) -> int:
        """The number that a viewer must have seen for this frame to be the next one."""
        found: int = self.get("after", self["number"] - 1)
        return found


def apply(state: dict[str, Any], keep: dict[str, int], frame: Mapping[str, Any]) -> None:
    """Brings a state, and what is kept of its lists, to where the frame says."""
    if "keep" in frame or "snapshot" in frame:
        keep.clear()
        keep.update(frame.get("keep", {}))
    if "snapshot" in frame:
        state.clear()
        state.update({key: list(value) if key in keep else value for key, value in frame["snapshot"].items()})
    state.update({key: list(value) if key in keep else value for key, value in frame.get("change", {}).items()})
    for key, values in frame.get("append", {}).items():
        state[key] = _newest([*state.get(key, ()), *values], keep.get(key))


class Mailbox:
    """What one subscriber has not been sent yet: a snapshot at first, then at most one change. `wake` is called, from
    the thread that changed the topic, when something is there to take."""

    def __init__(self, topic: Topic, wake: Callable[[], object]) -> None:
        self._topic, self._wake = topic, wake
        self._waiting: Frame | None = None
        self._end: Frame | None = None
        self._begun, self._seen = False, 0

    @property
    def cursor(self) -> str:
        """Where whoever has what was taken is: `Topic.subscribe` goes on from there."""
        return f"{self._topic._epoch}-{self._seen}" if self._begun else ""

    def take(self) -> list[Frame]:
        """What is to be sent now, in order."""
        with self._topic._lock:
            frames = [one for one in (self._waiting, self._end) if one is not None]
            if not self._begun:
                self._begun = True
                frames = [self._topic._snapshot(), *frames]
            self._waiting = self._end = None
            self._seen = frames[-1]["number"] if frames else self._seen
            return frames

    def close(self) -> None:
        """The subscriber has gone. Idempotent."""
        with self._topic._lock:
            self._topic._mailboxes.discard(self)

    def _put(self, frame: Frame, merged: dict[int, Frame]) -> None:
        """`merged` has what this frame became with others: those who are late alike get the same one, whose text is
        made once."""
        if "end" in frame:
            self._end = frame
        elif self._begun:  # before the first snapshot nothing is missed: it will have it all
            waiting = self._waiting
            if waiting is None:
                self._waiting = frame
            elif id(waiting) in merged:
                self._waiting = merged[id(waiting)]
            else:
                self._waiting = merged[id(waiting)] = _merged((waiting, frame), self._topic.keep)


class Topic:
    """`state` is a flat dict of JSON values; of the lists named in `keep` only so many of the newest values are kept.
    Changes say which values are others now, and what comes behind those of a list. Thread-safe."""

    def __init__(self, name: str, state: Mapping[str, Any], keep: Mapping[str, int] | None = None) -> None:
        self.name, self.keep = name, dict(keep or {})
        self._lock = threading.RLock()  # what is collected as garbage ends topics, wherever that happens
        self._state = dict(state)
        self._number = 0
        self._epoch = secrets.token_hex(4)
        self._recent: deque[Frame] = deque(maxlen=RECENT)
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
    def snapshot(self) -> Frame:
        """The state as it is now."""
        with self._lock:
            return self._snapshot()

    @property
    def number(self) -> int:
        """Of the last change."""
        return self._number

    def change(self, /, **values: Any) -> None:
        """Sets values; those that are as before are not told. Nothing happens to a topic that has ended."""
        self.tell(values)

    def append(self, /, **values: Sequence[Any]) -> None:
        """Puts values behind those of a list. What is more than is kept falls out at its beginning."""
        self.tell(append=values)

    def tell(
        self,
        change: Mapping[str, Any] | None = None,
        append: Mapping[str, Sequence[Any]] | None = None,
        keep: Mapping[str, int] | None = None,
    ) -> None:
        """All in one change; `keep` in place of the one before."""
        with self._lock:
            changed = {key: value for key, value in (change or {}).items() if self._state.get(key, _MISSING) != value}
            appended = {key: list(values) for key, values in (append or {}).items() if values}
            if not (changed or appended or keep is not None) or self._ended:
                return
            frame = Frame(topic=self.name, number=self._number + 1)
            if changed:
                frame["change"] = changed
            if appended:
                frame["append"] = appended
            if keep is not None:
                frame["keep"] = dict(keep)
            apply(self._state, self.keep, frame)
            self._number += 1
            self._recent.append(frame)
            mailboxes = self._send(frame)
        for mailbox in mailboxes:
            mailbox._wake()

    def restore(self, state: Mapping[str, Any], keep: Mapping[str, int]) -> None:
        """The whole state anew, as another topic's snapshot has it."""
        self.tell(state, keep=keep if keep != self.keep else None)

    def end(self, error: str = "") -> None:
        """There will be no more changes; `error` says why none can be told any more. Whoever subscribes now gets the
        last state and the end. Idempotent."""
        with self._lock:
            if self._ended:
                return
            self._ended, self._error = True, error
            mailboxes = self._send(self._last())
        for mailbox in mailboxes:
            mailbox._wake()

    def subscribe(self, wake: Callable[[], object], cursor: str = "") -> Mailbox:
        """A mailbox that holds a snapshot by now; or, for who comes back with a `cursor` from which on every change is
        still known, what was since."""
        mailbox = Mailbox(self, wake)
        with self._lock:
            missed = self._since(cursor)
            if missed is not None:
                mailbox._begun, mailbox._waiting = True, _merged(missed, self.keep) if missed else None
                mailbox._seen = self._number - len(missed)
            self._mailboxes.add(mailbox)
            if self._ended:
                mailbox._end = self._last()
        return mailbox

    # --- under the lock

    def _since(self, cursor: str) -> list[Frame] | None:
        epoch, _, number = cursor.rpartition("-")
        if epoch != self._epoch or not (number.isascii() and number.isdecimal() and len(number) < 19):
            return None
        missed = [frame for frame in self._recent if frame["number"] > int(number)]
        return missed if self._number - int(number) == len(missed) else None

    def _snapshot(self) -> Frame:
        frame = Frame(topic=self.name, number=self._number, snapshot=dict(self._state))
        if self.keep:
            frame["keep"] = dict(self.keep)
        return frame

    def _last(self) -> Frame:
        frame = Frame(topic=self.name, number=self._number, end=True)
        if self._error:
            frame["error"] = self._error
        return frame

    def _send(self, frame: Frame) -> list[Mailbox]:
        merged: dict[int, Frame] = {}
        for mailbox in self._mailboxes:
            mailbox._put(frame, merged)
        return list(self._mailboxes)


def _merged(frames: Sequence[Frame], keep: Mapping[str, int]) -> Frame:
    """Changes that follow each other, as one."""
    first, *others = frames
    if not others:
        return first
    change, append = dict(first.get("change", {})), dict(first.get("append", {}))
    for frame in others:
        for key, value in frame.get("change", {}).items():
            change[key] = value
            append.pop(key, None)  # it is another list now
        for key, values in frame.get("append", {}).items():
            append[key] = _newest([*append.get(key, ()), *values], keep.get(key))
    merged = Frame(topic=first["topic"], number=frames[-1]["number"], after=first.after)
    if change:
        merged["change"] = change
    if append:
        merged["append"] = append
    for frame in frames:
        if "keep" in frame:
            merged["keep"] = frame["keep"]
    return merged


def _newest(values: list[Any], most: int | None) -> list[Any]:
    return values if most is None else values[-most:] if most else []


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except ValueError:
        return _json(_finite(value))
    return text if text.isascii() or _is_unicode(text) else json.dumps(value, separators=(",", ":"))


def _is_unicode(text: str) -> bool:
    """Whether it has no halves of surrogate pairs, which no encoding has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
