"""What all sides must agree on: of the orders' columns, as lists of plain values."""

NAMES = ("id", "cust", "price", "score", "status", "country", "at", "day", "note", "gift")


def replies(file):
    """The recorded replies: their number in the session, and their bytes."""
    import pathlib
    import struct

    content, at, found = pathlib.Path(file).read_bytes(), 0, []
    while at < len(content):
        size, number = struct.unpack_from(">ii", content, at)
        found.append((number, content[at + 8 : at + 8 + size]))
        at += 8 + size
    return found


def check(columns):
    """`columns` by name, each a list of values."""
    there = {name: [value for value in columns[name] if value is not None] for name in NAMES}
    return {
        "rows": len(columns["id"]),
        "nulls": {name: len(columns[name]) - len(there[name]) for name in NAMES},
        **{name: round(float(sum(there[name])), 4) for name in ("id", "cust", "price", "score", "gift")},
        **{name: sum(len(value) for value in there[name]) for name in ("status", "country", "note")},
        "at": str(max(there["at"])),
        "day": str(max(there["day"])),
    }
