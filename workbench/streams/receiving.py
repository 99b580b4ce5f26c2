"""Spouts to which something comes: a thread of their own receives, and a bounded queue lies between it and the runner.

While the queue is full nothing is received, so a topology that is behind holds its source up, and not its memory.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import SplitResult, urlsplit

from workbench.contract.errors import InvalidParameter, SecretMissing, UrlRefused
from workbench.contract.secret import Secret
from workbench.streams.component import Collector, Context, IteratorSpout

__all__ = [
    "ENVIRONMENT",
    "Broken",
    "Coming",
    "Incoming",
    "Parsing",
    "Receiving",
    "Unreadable",
    "checked_headers",
    "checked_url",
    "revealed",
    "whole",
]

QUEUE_BYTES = 32 << 20
"""Of what waits in one queue; one row may be larger."""
BACKOFF, BACKOFF_MOST = 0.5, 30.0
"""Seconds before the second connection, and at most; each wait is twice the one before, less up to half of it."""
JOIN = 1.0
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]{0,127})")


class Broken(Exception):  # never leaves the room
    """A connection that has ended and is made again; the text says why."""


class Unreadable(ValueError):
    """What came is not what `parse` says."""


class Coming:
    """What the runner takes rows from; `_changed` guards it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = self._over = False
        self._error: BaseException | None = None
        self.wake: Callable[[], None] = lambda: None
        """Is called when there is something to take, or no more to come."""

    def take(self) -> Any:
        """The next row; None where there is none just now. Raises what `end` was given, once all is taken."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes."""
        self._error, self._over = error, True
        self.wake()

    @property
    def over(self) -> bool:
        """Whether nothing comes any more and all is taken."""
        return self._over and not len(self) and self._error is None

    def close(self) -> None:
        """Nobody takes any more: who waits for room is let go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Incoming(Coming):
    """A queue bounded by rows and by bytes. Thread-safe."""

    def __init__(self, rows: int, size: int = QUEUE_BYTES) -> None:
        super().__init__()
        self._most, self._most_bytes = rows, size
        self._rows: deque[tuple[Any, int]] = deque()
        self._bytes = 0

    def _full(self, size: int) -> bool:
        return bool(self._rows) and (len(self._rows) >= self._most or self._bytes + size > self._most_bytes)

    def put(self, row: Any, size: int = 0) -> bool:
        """Waits for room. False: nobody takes any more."""
        with self._changed:
            while self._full(size) and not self._closed:
                self._changed.wait()
            return self._add(row, size)

    def add(self, row: Any, size: int = 0) -> bool:
        """Beyond its bounds by this one, for who has asked `full` before. False: nobody takes any more."""
        with self._changed:
            return self._add(row, size)

    @property
    def full(self) -> bool:
        return self._full(0)

    @property
    def bytes(self) -> int:
        return self._bytes

    def offer(self, row: Any, size: int = 0) -> bool:
        """False where there is no room just now, or nobody takes any more."""
        return self.offer_all([row], size)

    def offer_all(self, rows: Sequence[Any], size: int) -> bool:
        """All of them, which have so many bytes together, or none."""
        with self._changed:
            room = not self._rows or (
                len(self._rows) + len(rows) <= self._most and self._bytes + size <= self._most_bytes
            )
            return room and all(self._add(row, size if not place else 0) for place, row in enumerate(rows))

    def _add(self, row: Any, size: int) -> bool:
        if self._closed:
            return False
        self._rows.append((row, size))
        self._bytes += size
        self.wake()
        return True

    def take(self) -> Any:
        if not self._rows:
            if self._error is not None:
                raise self._error
            return None
        with self._changed:
            row, size = self._rows.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return row

    def close(self) -> None:
        """And what waits is forgotten."""
        with self._changed:
            self._rows.clear()
            self._bytes = 0
        super().close()

    def __len__(self) -> int:
        return len(self._rows)


class Receiving(IteratorSpout):
    """What its spouts share. `receive` is called in the thread, again and again until it returns: it hands on what
    comes by `give`, and raises Broken where it is to be called again after a while; any other error fails the run.

    Of one task only, for a second one would be a second receiver.
    """

    queue = 1_000
    wakes = True
    _thread: threading.Thread | None = None

    def receive(self) -> None:
        raise NotImplementedError

    def hang_up(self) -> None:
        """Ends what `receive` waits for. From another thread."""

    def asked_pause(self) -> float | None:
        """Seconds before it is called again, where its source has said them."""
        return None

    def open(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        if len(context.tasks) > 1:
            why = f"of `{context.component}` is {len(context.tasks)}, and each task would receive all there is. Say 1."
            raise InvalidParameter("parallelism", why)
        self._incoming = Incoming(self.queue)
        self._coming = self._queued()
        self._coming.wake = context.wake
        self._stopping = threading.Event()
        self._counted: dict[str, float] = {
            **dict.fromkeys(("received", "bytes", "reconnects", "stalls", "too_large", "unreadable"), 0),
            "connected": 0,
        }
        self._chance, self._again = Random(context.random.random()), 0
        super().open(config, context, collector)

    def _queued(self) -> Coming:
        """What `rows` takes from."""
        return self._incoming

    def rows(self) -> Iterator[Any]:
        coming, name = self._coming, f"workbench-spout-{self.context.component}"
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()  # not in `open`: when another component cannot be opened, this one is not closed
        while not coming.over:
            yield coming.take()

    def counts(self) -> Mapping[str, float]:
        return {**self._counted, "queued": len(self._coming)}

    def close(self) -> None:
        self._stopping.set()
        self._coming.close()
        self.hang_up()
        if self._thread is not None:
            self._thread.join(JOIN)

    # --- in the thread

    def connected(self) -> None:
        """To be called when `hang_up` has by now what it needs."""
        if self._stopping.is_set():
            raise Broken("It is stopped")
        self._counted["connected"] = 1

    def count(self, name: str, by: float = 1) -> None:
        self._counted[name] += by

    def give(self, rows: Sequence[Any], size: int) -> bool:
        """Hands rows of one message on, and waits while the queue is full. False: nobody takes any more."""
        self.came(size)
        return all(self._incoming.put(row, size // len(rows)) for row in rows)

    def came(self, size: int) -> None:
        """A message of so many bytes."""
        self._again = 0  # it works: the next wait is a short one again
        self.count("received")
        self.count("bytes", size)

    def _main(self) -> None:
        error: BaseException | None = None
        try:
            while not self._stopping.is_set():
                try:
                    self.receive()
                    break
                except Broken as why:
                    if self._stopping.is_set():
                        break
                    self._counted["connected"] = 0
                    delay = self._pause()
                    self.collector.log(f"{why}; again in {delay:.1f} s")
                    self._stopping.wait(delay)
                    self.count("reconnects")
        except BaseException as raised:  # noqa: BLE001  # it is one of the spout's: the runner raises it
            error = raised
        finally:
            self._counted["connected"] = 0
            self._coming.end(error)

    def _pause(self) -> float:
        """Seconds until it comes again."""
        most = min(BACKOFF_MOST, BACKOFF * 2.0 ** min(self._again, 20))
        self._again += 1
        asked = self.asked_pause()
        if asked is not None and self._again == 1:
            return asked
        return max(asked or 0.0, most * self._chance.uniform(0.5, 1.0))


class Parsing:
    """Makes rows of a message. `parse` is `text` or `json`. With `fields`, JSON's objects give their values of these
    names (None for one that is missing), lists their values in order, and a list of objects a row each."""

    def __init__(self, parse: str, fields: Sequence[str]) -> None:
        if parse not in ("text", "json"):
            raise InvalidParameter("parse", f"is {parse!r}; it is 'text' or 'json'.")
        if isinstance(fields, str) or not all(isinstance(one, str) and one for one in fields):
            raise InvalidParameter("fields", f'are names, as ("page", "user"), not {fields!r}.')
        if fields and parse != "json":
            raise InvalidParameter("fields", "are looked up in JSON: say parse='json', too.")
        self.json, self.fields = parse == "json", tuple(fields)

    def __str__(self) -> str:
        """What the number of rows of a message depends on."""
        return f"{'json' if self.json else 'text'}{' fields' if self.fields else ''}"

    def values(self, text: str) -> list[Any]:
        """What each row has: a tuple where there are `fields`, else the one value. Raises Unreadable."""
        if not self.json:
            return [text]
        try:
            value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
            if _SURROGATE.search(text):
                json.dumps(value, ensure_ascii=False).encode()  # half a pair is no character, and fails far from here
        except (ValueError, RecursionError) as error:
            why = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise Unreadable(f"a message of {len(text):,} characters is no JSON: {why[:200]}") from None
        if not self.fields:
            return [value]
        many = isinstance(value, list) and bool(value) and all(isinstance(one, dict | list) for one in value)
        return [self._row(one) for one in (value if many else [value])]

    def _row(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, dict):
            return tuple(value.get(name) for name in self.fields)
        if isinstance(value, list) and len(value) == len(self.fields):
            return tuple(value)
        kind = f"a list of {len(value)}" if isinstance(value, list) else f"a {type(value).__name__}"
        raise Unreadable(f"a message is {kind}, and not an object with {', '.join(self.fields)}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"JSON has no number {name}")


def checked_url(url: object, schemes: Sequence[str]) -> SplitResult:
    """Raises UrlRefused. A password in an address would be kept with the topology, and be seen in logs."""
    try:
        parts = urlsplit(str(url))
        port = parts.port
    except ValueError as error:
        raise UrlRefused("its form", f"{error}.") from None
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise UrlRefused("its form", f"it must be {' or '.join(f'{scheme}://host…' for scheme in schemes)}.")
    if parts.username is not None or parts.password is not None:
        why = "it would be kept with the topology. Give it as a header: headers={'Authorization': 'env:NAME'}."
        raise UrlRefused("the user or password in it", why)
    if parts.fragment:
        raise UrlRefused("what is behind `#`", "no server is sent it.")
    return parts


_SECRETIVE = re.compile(r"authori[sz]ation|cookie|token|secret|key|password|signature", re.IGNORECASE)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


def checked_headers(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Raises InvalidParameter for a name or value that is none, and for a secret in plain text, which would be kept
    with the topology."""
    for name, value in (headers or {}).items():
        if not (isinstance(name, str) and _HEADER.fullmatch(name)):
            raise InvalidParameter("headers", f"have the name {name!r}, which is none.")
        if not isinstance(value, str | Secret) or (isinstance(value, str) and not _plain(value)):
            raise InvalidParameter("headers", f"`{name}` must be a text of one line, `env:NAME` or a Secret.")
        if _SECRETIVE.search(name) and isinstance(value, str) and not ENVIRONMENT.fullmatch(value):
            why = f"`{name}` looks like a secret: write `env:NAME`, a variable of the environment, or Secret('…')."
            raise InvalidParameter("headers", why)
    return dict(headers or {})


def _plain(value: str) -> bool:
    return len(value) <= 8_000 and all(" " <= sign <= "~" or sign == "\t" for sign in value)


def revealed(value: str | Secret) -> str:
    """The text behind a Secret or `env:NAME`; another text as it is. Raises SecretMissing."""
    if isinstance(value, Secret):
        return value.reveal()
    if (found := ENVIRONMENT.fullmatch(value)) is None:
        return value
    if not (text := os.environ.get(found[1])):
        raise SecretMissing(value, "Set that variable where the topology runs.")
    return text


def whole(value: object, name: str, least: int, most: int) -> int:
    """A number that is one. Raises InvalidParameter."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidParameter(name, f"is {value!r}; it is a whole number from {least:,} to {most:,}.")
    return value
