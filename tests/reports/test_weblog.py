"""Reports on access logs: every number is the one that plain text tools count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.query.support import World
from tests.reports.weblogs import AGENTS, BROKEN, COUNTS, LISTS, counted, counted_list, real, synthetic
from workbench.contract.errors import InvalidParameter, LimitExceeded, PathUnreachable
from workbench.reports import Events, Overview, weblog
from workbench.reports.columns import host_of


@pytest.fixture(params=["synthetic", "real"])
def log(request: pytest.FixtureRequest, repository: Path, tmp_path: Path) -> Path:
    if request.param == "synthetic":
        return synthetic(tmp_path)
    path = real(repository)
    if path is None:
        pytest.skip("the real log is not beside this repository")
    return path


def test_every_count_is_that_of_plain_text_tools(log: Path, world: World) -> None:
    events = Events.log(log)
    read = events.log_read
    assert read is not None
    report = Overview(period="all", definition="plausible", granularity="day").on(events, session=world.session)
    rows = report.arrow().to_pylist()
    total = rows[0]
    found = {
        "read": read.read,
        "parsed": read.table.num_rows,
        **{name: total[name] for name in ("visitors", "page_views", "sessions", "bounces")},
        "seconds": total["duration_ms"] // 1000,
    }
    assert found == {name: int(counted(log, command)) for name, command in COUNTS.items()}
    assert read.read == read.table.num_rows + read.refused.num_rows
    assert total["events"] == read.table.num_rows
    for name, command in LISTS.items():
        measure, _, by = name.rpartition(" by ")
        breakdown = "page" if by == "page" else "time"
        mine = [row for row in rows if row["breakdown"] == breakdown]
        shown = {row["value"] if by == "page" else row["value"][-2:]: row[measure.replace(" ", "_")] for row in mine}
        assert shown == counted_list(log, command), name


def test_refused_lines_are_kept_and_shown(tmp_path: Path, world: World) -> None:
    events = Events.log(synthetic(tmp_path))
    assert events.log_read is not None
    refused = events.log_read.refused.to_pylist()
    assert sorted(row["text"] for row in refused) == sorted([BROKEN[1], *BROKEN[1:], *BROKEN * 2])
    assert {row["file"] for row in refused} == {"access.log.gz"}
    report = Overview(period="2026-03-01..2026-03-04").on(events, session=world.session)
    for text in (repr(events), repr(report), report._repr_html_()):
        assert "12 refused" in text


def test_what_strangers_sent_does_nothing_where_it_is_shown(tmp_path: Path, world: World) -> None:
    """Markup, signs that a terminal obeys, and line ends of other kinds, as a user agent and as a page."""
    line = '203.0.113.1 - - [01/Mar/2026:00:00:00 +0000] "GET /{page} HTTP/1.1" 200 1 "-" "{agent}"\n'
    pages = [
        "<script>alert(1)</script>",
        "\x1b[31mred",
        '<a href="javascript:alert(1)">x</a>'.replace('"', ""),
        "a\u2028b",
    ]
    pages = [page.replace(" ", "") for page in pages]
    path = tmp_path / "nasty.log"
    path.write_text("".join(line.format(page=page, agent=agent) for page, agent in zip(pages, AGENTS[3:], strict=True)))
    events = Events.log(path, user="visitor", device="user_agent")
    report = Overview(period="all").on(events, session=world.session)
    rows = report.arrow().to_pylist()
    assert {row["value"] for row in rows if row["breakdown"] == "page"} == {f"/{page}" for page in pages}
    assert {row["value"] for row in rows if row["breakdown"] == "device"} == set(AGENTS[3:])
    shown = [repr(report), report._repr_html_(), repr(events), *texts(report.figure().to_plotly_json())]
    for text in shown:
        assert "\x1b" not in text
        assert "\u2028" not in text
        assert "<script" not in text
        assert "<a " not in text


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for one in value.values() for text in texts(one)]
    return [text for one in value for text in texts(one)] if isinstance(value, (list, tuple)) else []


def test_sources_are_hosts_and_the_site_itself_is_none(tmp_path: Path, world: World) -> None:
    events = Events.log(synthetic(tmp_path), sites=["www.shop.example"])
    report = Overview(period="all").on(events, session=world.session)
    values = {row["value"] for row in report.arrow().to_pylist() if row["breakdown"] == "source"}
    assert values == {None, "example.org", "no url"}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.Example.org:8080/a?b#c", "example.org"),
        ("http://user:secret@example.org", "example.org"),
        ("example.org/path", "example.org"),
        ("https://shop.example/x", None),
        ("-", None),
        ("  ", None),
        ("://", None),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]"),
        ("android-app://com.app.x/", "com.app.x"),
    ],
)
def test_hosts_of_referrers(url: str, host: str | None) -> None:
    assert host_of(url, frozenset({"shop.example"})) == host


def test_several_files_by_a_pattern(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        synthetic(tmp_path / name, 100)
    one, both = (Events.log(tmp_path / where).log_read for where in ("a/access.log.gz", "*/access.log.gz"))
    assert one is not None
    assert both is not None
    assert (both.files, both.read) == (2, 2 * one.read)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for path in ("nowhere.log", "*.nothing", ""):
        with pytest.raises(PathUnreachable):
            Events.log(tmp_path / path)
    (tmp_path / "half.gz").write_bytes(synthetic(tmp_path).read_bytes()[:2000])
    with pytest.raises(PathUnreachable, match="half"):
        Events.log(tmp_path / "half.gz")
    whole = bytearray(synthetic(tmp_path).read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "bad.gz").write_bytes(bytes(whole))
    with pytest.raises(PathUnreachable, match=r"bad\.gz"):
        Events.log(tmp_path / "bad.gz")
    with pytest.raises(InvalidParameter, match="`combined`"):
        Events.log(tmp_path / "access.log.gz", "iis")
    (tmp_path / "empty.log").write_bytes(b"")
    empty = Events.log(tmp_path / "empty.log").log_read
    assert empty is not None
    assert empty.read == 0


def test_a_file_that_is_no_log_is_not_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weblog, "MOST_REFUSED", 1 << 20)
    (tmp_path / "dump.sql").write_text(f"insert into t values ('{'x' * 1000}');\n" * 2000)
    with pytest.raises(LimitExceeded, match=r"1,048,576 .* format combined\? The first: insert into t"):
        Events.log(tmp_path / "dump.sql")


def test_saved_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    events = Events.log(synthetic(tmp_path), user="visitor")
    events.save("site")
    again = Events.load("site")
    assert again.log_read is not None
    assert again.log_read.read == events.log_read.read  # type: ignore[union-attr]
    assert again.columns == events.columns
