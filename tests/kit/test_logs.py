"""Access logs: every line is parsed or refused, and nothing that a stranger sends makes two lines of one."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from workbench.contract.errors import InvalidParameter
from workbench.kit.logs import LINE_BYTES, LogParser, lines_of

REQUEST = "GET /a/b?c=d HTTP/1.1"
APACHE = f'203.0.113.9 - - [17/May/2015:10:05:03 +0200] "{REQUEST}" 200 1203 "https://e.example/" "Mozilla/5.0"'
NGINX = '2001:db8::7 - ann lee [29/Feb/2024:23:59:59 -0330] "POST / HTTP/2.0" 204 0 "-" "curl/8" "10.0.0.1" 0.004'
COMMON = 'host.example - - [01/Jan/2026:00:00:00 +0000] "HEAD / HTTP/1.0" 304 -'


def parsed(*lines: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    found = LogParser().parse(lines)
    return found.rows.to_pylist(), found.refused.to_pylist()


def test_apache_nginx_and_common() -> None:
    rows, refused = parsed(APACHE, NGINX, COMMON)
    assert not refused
    one, two, three = rows
    assert (one["host"], one["path"], one["target"], one["status"], one["bytes"]) == (
        *("203.0.113.9", "/a/b", "/a/b?c=d"), 200, 1203,
    )  # fmt: skip
    assert one["time"].isoformat() == "2015-05-17T08:05:03+00:00"
    assert (one["identity"], one["user"], one["referrer"]) == (None, None, "https://e.example/")
    assert (two["user"], two["referrer"], two["user_agent"]) == ("ann lee", None, "curl/8")
    assert two["time"].isoformat() == "2024-03-01T03:29:59+00:00"
    assert (three["method"], three["bytes"], three["referrer"], three["user_agent"]) == ("HEAD", None, None, None)
    assert [row["line"] for row in rows] == [1, 2, 3]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "the line is empty"),
        ("hello", "not of the form"),
        (APACHE[:-1], "a quote is not closed"),
        (APACHE.replace("17/May", "31/Feb"), "the time is none"),
        (APACHE.replace("17/May", "17/Mai"), "the time is none"),
        (APACHE.replace("10:05", "25:05"), "the time is none"),
        (APACHE.replace("+0200", "+9900"), "the time is none"),
        (APACHE.replace(" 200 ", " OK "), "not of the form"),
        (APACHE.replace("1203", "9" * 19), "not of the form"),
        ("x" * (LINE_BYTES + 1), "longer than"),
    ],
)
def test_what_is_refused_says_why(line: str, reason: str) -> None:
    rows, refused = parsed(APACHE, line, COMMON)
    assert [row["line"] for row in rows] == [1, 3]
    assert [(one["line"], one["text"]) for one in refused] == [(2, line[:2000])]
    assert reason in refused[0]["reason"]


def test_what_strangers_send_stays_what_it_is() -> None:
    nasty = [
        "<script>alert(1)</script>",
        "\x1b[2J\x1b]0;title\x07",
        r"a\" 200 5 \"-\" \"fake",
        r"one\nGET / HTTP/1.1",
        "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r in one line",
        "=cmd|' /C calc'!A0",
    ]
    lines = [APACHE.replace("Mozilla/5.0", agent) for agent in nasty]
    data = "\n".join([*lines, ""]).encode()
    assert [line for some in lines_of(io.BytesIO(data)) for line in some] == lines
    rows, refused = parsed(*lines)
    assert [row["user_agent"] for row in rows] == nasty
    assert not refused


def test_a_real_line_feed_makes_two_lines_and_no_third_request() -> None:
    """A server that wrote it would have been broken; the halves are refused, not guessed at."""
    data = APACHE.replace("Mozilla/5.0", "evil\nx").encode()
    lines = [line for some in lines_of(io.BytesIO(data)) for line in some]
    rows, refused = parsed(*lines)
    assert (len(rows), len(refused)) == (0, 2)


def test_a_request_that_is_none() -> None:
    rows, refused = parsed(APACHE.replace(REQUEST, r"\x16\x03\x01"), APACHE.replace(REQUEST, "-"))
    assert not refused
    assert [(row["method"], row["path"], row["request"]) for row in rows] == [
        (None, None, r"\x16\x03\x01"),
        (None, None, "-"),
    ]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/?q", "/"),
        ("http://x.example/a?b", "/a"),
        ("http://x.example", "/"),
        ("*", "*"),
        ("/a#b", "/a"),
        ("/%2F", "/%2F"),
    ],
)
def test_paths(target: str, path: str) -> None:
    rows, _ = parsed(APACHE.replace("/a/b?c=d", target))
    assert rows[0]["path"] == path


def test_bytes_that_are_no_utf8_and_ends_of_lines() -> None:
    data = APACHE.encode().replace(b"Mozilla", b"M\xff\xfe") + b"\r\n" + COMMON.encode()
    rows, refused = parsed(*[line for some in lines_of(io.BytesIO(data)) for line in some])
    assert not refused
    assert rows[0]["user_agent"] == r"M\xff\xfe/5.0"
    assert len(rows) == 2


def test_a_line_without_end_is_not_kept_in_memory() -> None:
    data = COMMON.encode() + b"\n" + b"y" * (3 * LINE_BYTES + 12 << 1) + b"\n" + COMMON.encode()
    lines = [line for some in lines_of(io.BytesIO(data)) for line in some]
    assert [len(line) for line in lines] == [len(COMMON), LINE_BYTES + 1, len(COMMON)]
    rows, refused = parsed(*lines)
    assert (len(rows), len(refused)) == (2, 1)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="`combined`, `common`"):
        LogParser("w3c")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=60), max_size=5))
def test_read_is_parsed_and_refused(texts: list[str]) -> None:
    lines = [text if number % 2 else APACHE.replace("Mozilla/5.0", text) for number, text in enumerate(texts)]
    rows, refused = parsed(*lines)
    assert sorted([row["line"] for row in rows] + [one["line"] for one in refused]) == list(range(1, len(lines) + 1))


def test_garbage_takes_no_longer_than_it_is_long() -> None:
    """Quadratic, a line of these would take minutes."""
    _, refused = parsed("[" * 900_000, "x [" * 300_000)
    assert [row["reason"][:20] for row in refused] == ["the line is not of t"] * 2


@pytest.mark.parametrize("time", ["31/Dec/9999:23:59:59 -2359", "01/Jan/0001:00:00:00 +2359"])
def test_a_time_beyond_the_calendar_is_none(time: str) -> None:
    _, refused = parsed(f'h - - [{time}] "GET / HTTP/1.1" 200 5')
    assert [row["reason"] for row in refused] == ["the time is none"]
