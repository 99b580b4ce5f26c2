"""What spouts that only listen keep until it is done: over a stop, beside another run, and when the disk is full."""

from __future__ import annotations

import errno
import http.client
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.catalog import Catalog
from workbench.contract.errors import InvalidParameter, PathUnreachable, PositionLost, StateRefused
from workbench.contract.secret import Secret
from workbench.streams import ServerSentEvents, Sink, Topology, Webhook, WebSocket, spool_segment
from workbench.streams.running import Running

Start = Callable[..., Running]
WAIT = 60
KEY = "geheim-7"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


class Hook:
    """A run with a webhook, and whoever posts to it."""

    def __init__(self, started: Start, eventually: Any, work: Any = None, config: Any = None, **options: Any) -> None:
        self.rows: list[Any] = []
        self.eventually = eventually
        run = {name: options.pop(name) for name in ("state", "recover", "forget") if name in options}
        options = {"secret": Secret(KEY), "fields": ("n",), **options}
        t = Topology("hook", **{"retry_backoff": 0.01, "max_retries": 1, **(config or {})})
        t.spout("in", Webhook(**options)).bolt("out", work or (lambda row: self.rows.append(row.n)), inputs="in")
        self.running = started(t, **run)
        self.port = int(eventually(lambda: self.counts().get("port"), within=WAIT))

    def counts(self) -> dict[str, float]:
        return dict(next(iter(self.running.metrics().now.sources.values()), {}))

    def rests(self) -> None:
        """So that nothing more is taken."""
        self.running.pause()
        self.eventually(lambda: self.running.state == "paused", within=WAIT)

    def post(self, *numbers: Any, size: int = 0) -> int:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        try:
            body = json.dumps([{"n": number} for number in numbers]) + " " * size
            link.request("POST", "/", body, {"Authorization": f"Bearer {KEY}"})
            answer = link.getresponse()
            self.headers, self.said = answer.headers, json.loads(answer.read())["message"]
            return answer.status
        finally:
            link.close()


@pytest.fixture
def hook(started: Start, eventually: Any) -> Callable[..., Hook]:
    return lambda *args, **options: Hook(started, eventually, *args, **options)


def spools(home: Path) -> list[Path]:
    return list((home / "spools").rglob("*.rows"))


def test_what_a_stopped_run_has_left_comes_first_in_the_next_one(
    hook: Callable[..., Hook], home: Path, eventually: Any
) -> None:
    first = hook()
    assert first.post(1, 2) == 202
    eventually(lambda: first.rows == [1, 2], within=WAIT)
    first.rests()
    assert first.post(3, 4) == 202
    eventually(lambda: first.counts()["spool_rows"] == 2, within=WAIT)
    first.running.stop()
    assert any("2 rows that were accepted are not done" in line for line in first.running.log)
    private = [home / "spools", home / "spools" / "hook", home / "spools" / "hook" / "in", spools(home)[0].parent]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in private[-1].iterdir()} == {0o600}

    second = hook()
    assert any("2 rows in its spool were accepted before" in line for line in second.running.log)
    assert second.post(5) == 202
    eventually(lambda: second.rows == [3, 4, 5], within=WAIT)
    eventually(lambda: second.counts()["spool_rows"] == 0, within=WAIT)
    assert "workbench_stream_source_spool_bytes{" in second.running.metrics().prometheus()
    second.running.stop()
    assert not list((home / "spools").iterdir()), "all is done, so nothing stays"


def test_each_row_of_a_body_is_done_by_itself(hook: Callable[..., Hook], eventually: Any) -> None:
    """And what was given up is done, too."""

    def work(row: Any) -> None:
        if row.n == 2:
            raise ValueError(row.n)
        if row.n == 3:
            first.running.pause()

    first = hook(work, config={"max_retries": 0})
    assert first.post(1, 2, 3, 4, 5) == 202
    eventually(lambda: first.running.state == "paused", within=WAIT)
    eventually(lambda: [letter.row for letter in first.running.dead_letters] == [(2,)], within=WAIT)
    first.running.stop()
    second = hook()
    eventually(lambda: second.rows == [4, 5], within=WAIT)


def test_begun_anew_it_has_nothing_left(hook: Callable[..., Hook], home: Path, eventually: Any) -> None:
    for options in ({"recover": False}, {"forget": ("in",)}):
        first = hook()
        first.rests()
        assert first.post(1) == 202
        first.running.stop()
        assert spools(home)
        second = hook(**options)
        assert second.post(2) == 202
        eventually(lambda second=second: second.rows == [2], within=WAIT)
        second.running.stop()


def test_without_acking_what_is_emitted_is_done(hook: Callable[..., Hook], home: Path, eventually: Any) -> None:
    first = hook(config={"acking": False})
    assert first.post(1, 2) == 202
    eventually(lambda: first.rows == [1, 2], within=WAIT)
    eventually(lambda: first.counts()["spool_rows"] == 0, within=WAIT)
    first.running.stop()
    assert not list((home / "spools").iterdir())


def test_without_a_spool_it_is_as_long_as_the_process(hook: Callable[..., Hook], home: Path, eventually: Any) -> None:
    first = hook(spool=0)
    first.rests()
    assert [first.post(*range(500)) for _ in range(3)] == [202, 202, 429]
    first.running.stop()
    assert not (home / "spools").exists()
    for wrong in (-1, 1_000, True, 2.5):
        with pytest.raises(InvalidParameter, match="spool"):
            Webhook(secret="env:KEY", spool=wrong)  # type: ignore[arg-type]


def test_a_full_spool_says_so_and_goes_on_when_something_is_done(
    hook: Callable[..., Hook], home: Path, eventually: Any
) -> None:
    site = hook(spool=1 << 20)
    site.rests()
    answers = [site.post(number, size=100_000) for number in range(12)]
    kept = answers.count(202)
    assert answers == [202] * kept + [503] * (12 - kept)
    assert 8 <= kept <= 10
    assert (site.headers["Retry-After"], site.said) == ("1", "the spool is full")
    assert sum(f"is full with {kept} rows that are not done" in line for line in site.running.log) == 1
    assert sum(path.stat().st_size for path in spools(home)) < 1 << 20
    assert site.counts()["full"] == 12 - kept
    site.running.resume()
    eventually(lambda: site.rows == list(range(kept)), within=WAIT)
    eventually(lambda: site.post(99, size=100_000) == 202, within=WAIT)
    assert sum(path.stat().st_size for path in spools(home)) < 400_000, "what is done is removed"


def test_a_full_disk_is_said_and_nothing_is_accepted(
    hook: Callable[..., Hook], monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    site, write = hook(), spool_segment.written

    def full(file: int, data: bytes, at: int) -> None:
        write(file, data[:5], at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert site.post(1) == 202
    monkeypatch.setattr(spool_segment, "written", full)
    assert [site.post(2), site.post(3)] == [503, 503]
    assert site.said == "it cannot be kept: No space left on device"
    assert site.headers["Retry-After"] == "1"
    assert sum("so it takes nothing until there is room" in line for line in site.running.log) == 1
    monkeypatch.setattr(spool_segment, "written", write)
    assert site.post(4) == 202
    eventually(lambda: site.rows == [1, 4], within=WAIT)
    assert site.running.state == "running"


def test_a_disk_that_fails_ends_the_run(hook: Callable[..., Hook], monkeypatch: pytest.MonkeyPatch) -> None:
    site = hook()

    def broken(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(spool_segment.os, "fdatasync", broken)
    assert site.post(1) == 503
    with pytest.raises(StateRefused, match=r"cannot be made durable: Input/output error\. Put a copy"):
        site.running.wait(WAIT)


def test_a_folder_that_cannot_be_written_is_said_at_once(hook: Callable[..., Hook], home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "spools").write_text("no folder")
    with pytest.raises(PathUnreachable, match=r"Cannot keep a spool in `.*spools.*`: .*\(spool=0\)"):
        hook()


def test_a_spool_that_is_damaged_is_not_gone_over(hook: Callable[..., Hook], home: Path, eventually: Any) -> None:
    first = hook()
    first.rests()
    assert first.post(1) == 202
    first.running.stop()
    [path] = spools(home)
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    for _ in range(2):
        with pytest.raises(StateRefused, match=r"has at byte \d+ what was not written there.*recover=False"):
            hook()
    second = hook(recover=False)
    assert second.post(2) == 202
    eventually(lambda: second.rows == [2], within=WAIT)


def test_two_at_a_time_have_a_spool_each_and_the_next_one_has_both(
    hook: Callable[..., Hook], home: Path, eventually: Any
) -> None:
    first, second = hook(), hook()
    for number, one in enumerate((first, second, second)):
        one.rests()
        assert one.post(number, number + 10) == 202
    first.running.stop()
    second.running.stop()
    assert len(spools(home)) == 2
    third = hook()
    eventually(lambda: sorted(third.rows) == [0, 1, 2, 10, 11, 12], within=WAIT)
    third.running.stop()
    assert not list((home / "spools").iterdir())


def test_rows_of_another_address_are_left_alone(hook: Callable[..., Hook], home: Path, eventually: Any) -> None:
    first = hook()
    first.rests()
    assert first.post(1) == 202
    first.running.stop()
    second = hook(parse="text", fields=())
    assert any("came from another address" in line and str(home) in line for line in second.running.log)
    second.running.stop()
    more = hook(fields=("n", "more"))  # the same messages, of which it makes other rows
    eventually(lambda: more.rows == [1], within=WAIT)


def test_who_waits_for_all_to_be_done_is_answered(hook: Callable[..., Hook]) -> None:
    site = hook(reply="acked")
    assert (site.post(1, 2, 3), site.said, site.rows) == (200, "acked", [1, 2, 3])


def test_a_component_that_cannot_be_opened_leaves_no_lock(
    started: Start, hook: Callable[..., Hook], home: Path
) -> None:
    t = Topology("hook").spout("bad", Webhook(secret="env:NOT_THERE")).spout("in", Webhook(secret=Secret(KEY)))
    t.bolt("out", print, inputs=["bad", "in"])
    with pytest.raises(Exception, match="NOT_THERE"):
        started(t)
    hook()
    assert [path.name for path in (home / "spools" / "hook" / "in").iterdir()] == ["0"]


# --- with state


@pytest.fixture
def shop(tmp_path: Path) -> str:
    Catalog().connect("shop", path=str(tmp_path / "shop.duckdb"), writable=True)
    return "shop.orders"


def promised(spout: Any, shop: str) -> tuple[str, tuple[str, ...]]:
    t = Topology("promised").spout("in", spout).bolt("save", Sink(shop, create=True), inputs="in")
    [promise] = t.guarantees(state=True).values()
    return promise.claim, promise.why


def test_what_it_may_claim(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for spout in (Webhook(secret="env:KEY"), WebSocket("ws://a/"), ServerSentEvents("http://a/")):
        assert promised(spout, shop) == ("effectively once", ())
    for spout in (Webhook(secret="env:KEY", spool=0), WebSocket("ws://a/", spool=0)):
        claim, [why] = promised(spout, shop)
        assert (claim, why) == ("at least once", "spout `in` does not give the same again from a position")


def test_with_state_it_goes_on_from_the_snapshot(hook: Callable[..., Hook], home: Path, eventually: Any) -> None:
    spool = home / "states" / "kept.sqlite.spool" / "in" / "0"
    first = hook(state="kept")
    with pytest.raises(StateRefused, match="another run has it open"):
        hook(state="kept")
    assert first.post(1) == 202
    eventually(lambda: first.rows == [1], within=WAIT)
    first.rests()
    assert first.post(2, 3) == 202
    first.running.stop()
    second = hook(state="kept")
    eventually(lambda: second.rows == [2, 3], within=WAIT)
    second.running.stop()
    assert {path.suffix for path in spool.iterdir()} == {"", ".rows", ".done"}
    assert sum(path.stat().st_size for path in spool.iterdir()) < 200, "where it is, and no row"
    assert not (home / "spools").exists()
    third = hook(state="kept")
    assert third.post(4) == 202
    eventually(lambda: third.rows == [4], within=WAIT)
    third.running.stop()
    for path in spool.iterdir():
        path.unlink()
    with pytest.raises(PositionLost, match=r'row 4 of the spool in .*forget=\("in",\)'):
        hook(state="kept")
    fourth = hook(state="kept", forget=("in",))
    assert fourth.post(5) == 202
    eventually(lambda: fourth.rows == [5], within=WAIT)


def test_an_older_snapshot_is_not_gone_on_from_in_silence(
    hook: Callable[..., Hook], home: Path, eventually: Any
) -> None:
    file, files = home / "states" / "kept.sqlite", list[bytes]()
    for number in range(2):
        site = hook(state="kept")
        assert site.post(number) == 202
        eventually(lambda site=site: site.rows, within=WAIT)
        site.running.stop()
        files.append(file.read_bytes())
    file.write_bytes(files[0])
    with pytest.raises(PositionLost, match="row 1 of the spool"):
        hook(state="kept")


def test_an_older_snapshot_that_is_put_back_after_a_kill_has_what_came_since(
    hook: Callable[..., Hook], home: Path, eventually: Any
) -> None:
    """As long as the spool has it; what is done of it by a newer snapshot does not count."""
    file = home / "states" / "kept.sqlite"
    site = hook(state="kept", config={"snapshot_every": "20ms"})
    spool = home / "states" / "kept.sqlite.spool" / "in" / "0"
    assert site.post(1, 2) == 202
    eventually(lambda: site.counts()["spool_rows"] == 0, within=WAIT)
    site.rests()  # nothing is written while it is copied
    older = file.read_bytes()
    site.running.resume()
    assert site.post(3, 4, 5) == 202
    eventually(lambda: site.counts()["spool_rows"] == 0, within=WAIT)
    site.rests()
    kept = {path.name: path.read_bytes() for path in spool.iterdir()}
    site.running.stop()
    file.write_bytes(older)  # as a kill leaves it, but for the copy
    for path in spool.iterdir():
        path.unlink()
    for name, body in kept.items():
        (spool / name).write_bytes(body)
    again = hook(state="kept")
    assert again.post(6) == 202
    eventually(lambda: again.rows == [3, 4, 5, 6], within=WAIT)


def test_folders_that_are_not_its_own_stay_as_they_are(hook: Callable[..., Hook], tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    project.chmod(0o775)
    hook(state=project / "state.sqlite")
    assert stat.S_IMODE(project.stat().st_mode) == 0o775
    own = [project / "state.sqlite.spool", project / "state.sqlite.spool" / "in"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in own} == {0o700}
