from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.execution.owners import PRODUCT, Owner, gone
from tests.runs.waiting import until
from workbench.execution import watchdog_child

CHILD = Path(watchdog_child.__file__)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    owners: list[Owner] = []

    def begin(options: tuple[str, ...] = (), **orders: Any) -> Owner:
        folder = tmp_path / str(len(owners))
        folder.mkdir()
        owners.append(Owner(folder, options, **orders))
        return owners[-1]

    yield begin
    for owner in owners:
        owner.close()


def expected(owner: Owner) -> set[tuple[str, str]]:
    return {("shop", f"2 wb-{owner.run}-1"), ("crm", f"3 wb-{owner.run}-2")}


def assert_buried(owner: Owner) -> None:
    until(owner.watchdog_gone, what="the watchdog ends")
    facts = owner.cancelled()
    assert {(fact["connection"], fact["native_id"]) for fact in facts} == expected(owner)
    assert all(fact["secret"] and not fact["writable"] for fact in facts)
    assert {fact["pid"] for fact in facts} == {owner.watchdog}
    info = owner.register.get(owner.run)
    assert (info.state, info.natives, info.error) == ("lost", (), "Its process ended without finishing it.")
    assert owner.register.runs() == []


def test_kill_9_of_the_owner_cancels_just_what_it_still_ran(start: Any) -> None:
    owner = start()
    mine = owner.register.begin("query", "another process's")
    mine.native_started("shop", mine.mark(0))
    owner.kill()
    until(lambda: {(f["connection"], f["native_id"]) for f in owner.cancelled()} == expected(owner), 2.0)
    until(owner.watchdog_gone)
    assert [info.id for info in owner.register.runs()] == [mine.id]
    mine.native_ended("shop", mine.mark(0))
    mine.finish("done")
    assert_buried(owner)
    assert all(fact["heavy"] == [] for fact in owner.cancelled())


def test_a_clean_end_cancels_nothing(start: Any) -> None:
    owner = start(finish=True)
    owner.say("exit")
    assert owner.process.wait(20) == 0
    until(owner.watchdog_gone)
    assert owner.cancelled() == []
    assert owner.register.get(owner.run).state == "done"


def test_an_end_without_finishing_cancels(start: Any) -> None:
    owner = start()
    owner.say("exit")
    assert owner.process.wait(20) == 0
    assert_buried(owner)


def test_it_is_quiet_at_the_end_also_when_warnings_are_errors(start: Any, capfd: pytest.CaptureFixture[str]) -> None:
    owner = start(("-W", "error", "-X", "dev"))
    owner.say("exit")
    assert owner.process.wait(20) == 0
    assert capfd.readouterr().err == ""


def test_forked_children_that_hold_the_pipe_do_not_matter(start: Any) -> None:
    owner = start(fork=True)
    owner.kill()
    assert_buried(owner)
    assert not gone(owner.forked)


def test_ctrl_c_and_hang_up_of_the_group_leave_the_watchdog(start: Any) -> None:
    owner = start()
    os.killpg(owner.process.pid, signal.SIGINT)
    owner.process.wait(20)
    assert_buried(owner)

    second = start()
    os.kill(second.watchdog, signal.SIGTERM)  # as when a whole service is told to end
    os.kill(second.watchdog, signal.SIGHUP)
    second.kill()
    assert_buried(second)


def test_it_tries_again_while_the_source_refuses(start: Any) -> None:
    owner = start(failures=5)
    owner.kill()
    assert_buried(owner)
    assert sum("refused" in fact for fact in owner.cancelled()) == 5


def test_what_it_could_not_end_is_in_the_register(start: Any, tmp_path: Path) -> None:
    hasty = tmp_path / "hasty.py"
    hasty.write_text(CHILD.read_text().replace("PATIENCE_SECONDS = 10.0", "PATIENCE_SECONDS = 0.5"))
    owner = start(child=str(hasty), implementation="no_such_driver:Connector")
    owner.kill()
    until(owner.watchdog_gone)
    info = owner.register.get(owner.run)
    assert info.state == "lost"
    assert "may still run at the source" in info.error
    assert "No module named 'no_such_driver'" in info.error
    assert {(n.connection, n.native_id) for n in info.natives} == expected(owner)


def test_without_a_pidfd_it_watches_its_parent(start: Any, tmp_path: Path) -> None:
    older = tmp_path / "older.py"
    older.write_text(CHILD.read_text().replace('hasattr(os, "pidfd_open")', "False"))
    owner = start(child=str(older), fork=True)
    owner.kill()
    assert_buried(owner)


def test_a_watchdog_that_was_killed_is_started_again_and_told_all(start: Any) -> None:
    owner = start()
    before = owner.watchdog
    os.kill(before, signal.SIGKILL)
    until(owner.watchdog_gone)
    owner.say("again")
    owner.watchdog = owner.hear()["watchdog"]
    assert owner.watchdog != before
    owner.kill()
    assert_buried(owner)


def test_it_finds_the_product_where_only_the_owner_knows_of_it(start: Any, tmp_path: Path) -> None:
    """A product and a connector on plain paths, an interpreter without site-packages: as from a zipped-up folder."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(PRODUCT / "workbench", copy / "workbench", ignore=shutil.ignore_patterns("__pycache__"))
    owner = start(("-I", "-S"), path=[str(copy), str(tmp_path / "0" / "site")])
    arguments = Path(f"/proc/{owner.watchdog}/cmdline").read_bytes().split(b"\0")
    assert str(copy / "workbench/execution/watchdog_child.py").encode() in arguments
    owner.kill()
    assert_buried(owner)


def test_it_is_small_holds_no_files_of_the_owner_and_shows_no_secret(start: Any, tmp_path: Path) -> None:
    owner = start()
    child = Path("/proc", str(owner.watchdog))

    def files() -> set[str]:
        return {os.readlink(link) for link in (child / "fd").iterdir()}

    until(lambda: any("pidfd" in file for file in files()), what="it has begun to watch")
    assert {file.partition(":")[0] for file in files()} <= {"pipe", "/dev/null", "anon_inode"}
    assert os.readlink(child / "cwd") == "/"
    assert os.getsid(owner.watchdog) == owner.watchdog
    assert b"hunter2" not in (child / "cmdline").read_bytes() + (child / "environ").read_bytes()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"hunter2-canary" not in file.read_bytes() or file.name == "fake_source.py"
    memory = dict(line.split(":", 1) for line in (child / "smaps_rollup").read_text().splitlines()[1:])
    resident, own = int(memory["Rss"].split()[0]), int(memory["Private_Dirty"].split()[0])
    print(f"watchdog: {resident} KiB resident, {own} KiB its own")
    assert resident < 16 * 1024
    assert own < 8 * 1024
