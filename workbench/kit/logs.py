"""Log formats: lines of a web server's access log as Arrow batches.

`combined` reads what Apache and nginx write under that name, and the `common` form, which is the same without referrer
and user agent; what follows them is let through. A line ends at a line feed and nowhere else, so that no other sign in
a request can make two lines of one. Every line is either parsed or refused: the refused ones are kept, with the reason.

Fields are as the server wrote them: its escapes (`\\x1b`, `\\"`) are left in place, bytes that are no UTF-8 become such
escapes. They are what strangers sent, so whoever shows them has to escape them.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from workbench.contract.errors import InvalidParameter

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FORMATS", "LINE_BYTES", "LogParser", "Parsed", "lines_of"]

FORMATS = ("combined", "common")
LINE_BYTES = 1 << 20
"""A longer line is refused, and not kept in memory."""
KEPT = 2000
"""Characters of a refused line that are kept."""
BLOCK = 4 << 20

_QUOTED = r'(?:[^"\\]|\\.)*'
_COMMON = (
    r"^(?P<host>\S+) (?P<identity>\S+) (?P<user>\S.*?) "
    r"\[(?P<time>\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    rf'"(?P<request>{_QUOTED})" (?P<status>\d{{3}}) (?P<bytes>\d{{1,18}}|-)'
)
_COMBINED = rf'{_COMMON}(?: "(?P<referrer>{_QUOTED})" "(?P<user_agent>{_QUOTED})"(?: .*)?)?$'
_REQUEST = r"^(?P<method>[A-Z][A-Z-]*) (?P<target>\S+) (?P<protocol>HTTP/\d(?:\.\d)?)$"
_TIME = re.compile(r"(\d\d)/([A-Z][a-z][a-z])/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_FIRST, _LAST = -62_135_596_800, 253_402_300_799
"""The calendar's years 1 to 9999, in UTC."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Parsed:
    """`rows` has the parser's schema, `refused` the columns `line` (counted from 1), `reason` and `text`."""

    rows: pa.RecordBatch
    refused: pa.RecordBatch


class LogParser:
    """Parses lines of one format. Holds nothing from one call to the next; thread-safe."""

    def __init__(self, form: str = "combined") -> None:
        if form not in FORMATS:
            raise InvalidParameter("format", f"is `{form}`; there are {', '.join(f'`{one}`' for one in FORMATS)}.")
        self.form = form

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """`time` is in UTC; `path` is the target without query; `-` is NULL. A request that is none of HTTP has no
        method, target, path and protocol; its text is in `request` all the same."""
        import pyarrow as pa

        texts = ("method", "target", "path", "protocol", "referrer", "user_agent", "request")
        return pa.schema(
            [
                ("line", pa.int64()),
                ("time", pa.timestamp("s", "UTC")),
                *((name, pa.string()) for name in ("host", "identity", "user")),
                ("status", pa.int16()),
                ("bytes", pa.int64()),
                *((name, pa.string()) for name in texts),
            ]
        )

    @functools.cached_property
    def refused_schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([("line", pa.int64()), ("reason", pa.string()), ("text", pa.string())])

    def parse(self, lines: Sequence[str], first: int = 1) -> Parsed:
        """Lines without their ends; `first` is the number of the first of them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = pa.array(lines, pa.string())
        numbers = pa.array(range(first, first + len(lines)), pa.int64())
        found = pc.extract_regex(texts, _COMBINED)
        times = _times(found.field("time") if len(lines) else pa.array([], pa.string()))
        short = pc.less_equal(pc.binary_length(texts), LINE_BYTES)
        fine = pc.and_(pc.and_(found.is_valid(), times.is_valid()), short)
        bad = pc.invert(fine).to_pylist()
        reasons = [(first + at, _reason(line), line[:KEPT]) for at, line in enumerate(lines) if bad[at]]
        refused = pa.RecordBatch.from_arrays(
            [pa.array([row[at] for row in reasons], kind) for at, kind in enumerate(self.refused_schema.types)],
            schema=self.refused_schema,
        )
        found, times, numbers = (one.filter(fine) for one in (found, times, numbers))
        columns = {name: found.field(at) for at, name in enumerate(field.name for field in found.type)}
        request = pc.extract_regex(columns["request"], _REQUEST)
        asked = {name: pc.struct_field(request, at) for at, name in enumerate(("method", "target", "protocol"))}
        path = pc.replace_substring_regex(asked["target"], r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "")
        path = pc.replace_substring_regex(path, r"[?#].*$", "")
        whole = {
            "line": numbers,
            "time": times,
            "status": columns["status"].cast(pa.int16()),
            "bytes": _or_none(columns["bytes"]).cast(pa.int64()),
            **{name: _or_none(columns[name]) for name in ("host", "identity", "user", "referrer", "user_agent")},
            **asked,
            "path": pc.if_else(pc.equal(path, ""), "/", path),
            "request": columns["request"],
        }
        rows = pa.RecordBatch.from_arrays([whole[name] for name in self.schema.names], schema=self.schema)
        return Parsed(rows, refused)


def lines_of(file: IO[bytes], most: int = 50_000) -> Iterator[list[str]]:
    """The lines of a file, some ten thousand at a time, without their ends (a carriage return before the line feed is
    one of its signs). Of a line beyond `LINE_BYTES` only so much is handed on that it can be refused."""
    held = b""
    while block := file.read(BLOCK):
        *whole, held = (held + block).split(b"\n")
        held = held[: LINE_BYTES + 1]
        yield from _decoded(whole, most)
    if held:
        yield from _decoded([held], most)


def _decoded(lines: Sequence[bytes], most: int) -> Iterator[list[str]]:
    for at in range(0, len(lines), most):
        some = (line[: LINE_BYTES + 1].removesuffix(b"\r") for line in lines[at : at + most])
        yield [line.decode("utf-8", "backslashreplace") for line in some]


def _or_none(column: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.is_in(column, pa.array(["-", ""])), None, column)


def _times(texts: pa.Array) -> pa.Array:
    """Each different text is read once: a busy log has many lines a second. NULL for what is no time."""
    import pyarrow as pa

    coded = texts.dictionary_encode()
    seconds = pa.array([_time(text) for text in coded.dictionary.to_pylist()], pa.int64())
    return seconds.take(coded.indices).cast(pa.timestamp("s", "UTC"))


def _time(text: str | None) -> int | None:
    found = _TIME.fullmatch(text or "")
    if found is None or found[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(found[at]) for at in (1, 3, 4, 5, 6))
    hours, minutes = int(found[8]), int(found[9])
    try:
        second = 59 if second == 60 else second  # a leap second
        moment = datetime.datetime(year, 1 + _MONTHS.index(found[2]), day, hour, minute, second)
    except ValueError:
        return None
    if hours > 23 or minutes > 59:
        return None
    offset = (hours * 3600 + minutes * 60) * (-1 if found[7] == "-" else 1)
    seconds = int((moment - datetime.datetime(1970, 1, 1)).total_seconds()) - offset
    return seconds if _FIRST <= seconds <= _LAST else None


def _reason(line: str) -> str:
    if not line.strip():
        return "the line is empty"
    if len(line) > LINE_BYTES:
        return f"the line is longer than {LINE_BYTES:,} bytes"
    opened = line.find("[")
    closed = line.find("]", opened + 1)
    if 0 <= opened < closed:
        if _time(line[opened + 1 : closed]) is None:
            return "the time is none"
        if len(re.findall(r'(?<!\\)"', line)) % 2:
            return "a quote is not closed"
    return 'the line is not of the form `host identity user [time] "request" status bytes …`'
