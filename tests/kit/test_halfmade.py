from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from workbench.kit import halfmade
from workbench.kit.halfmade import HalfMade, sweep

HOLD = """
import sys, time
from pathlib import Path
from workbench.kit.halfmade import HalfMade
half = HalfMade(Path(sys.argv[1]), folder=sys.argv[2] == "folder")
if half.path.is_dir():
    (half.path / "inner").write_text("x")
print("made", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_it_is_swept_when_its_process_was_killed_and_not_before(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ".half"
    command = [sys.executable, "-c", HOLD, str(path), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"made\n"
            os.utime(path, (0, 0))  # however old it is
            sweep([path])
            assert path.exists()
        finally:
            process.kill()
    sweep([path])
    assert not path.exists()


def test_what_is_renamed_and_released_stays(tmp_path: Path) -> None:
    half = HalfMade(tmp_path / ".half")
    with pytest.raises(FileExistsError):
        HalfMade(half.path)
    half.path.write_text("whole")
    sweep([half.path])  # a thread of the same process
    half.path.rename(tmp_path / "whole")
    half.release()
    half.release()
    sweep([half.path])
    assert (tmp_path / "whole").read_text() == "whole"


def test_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / ".half").symlink_to("precious")
    sweep([tmp_path / ".half"])
    assert (tmp_path / "precious").is_dir()


def test_where_there_are_no_locks_a_day_must_have_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(handle: int, *, wait: bool) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(halfmade, "_lock", no_locks)
    half = HalfMade(tmp_path / ".half")
    half.release()
    sweep([half.path])
    assert half.path.exists()
    os.utime(half.path, (0, 0))
    sweep([half.path])
    assert not half.path.exists()


def test_a_sweeper_never_takes_what_is_just_being_made(tmp_path: Path) -> None:
    done = threading.Event()

    def sweeping() -> None:
        while not done.is_set():
            sweep(tmp_path.glob(".half-*"))

    thread = threading.Thread(target=sweeping)
    thread.start()
    try:
        for number in range(300):
            half = HalfMade(tmp_path / f".half-{number}", folder=bool(number % 2))
            assert half.path.exists()
            half.path.rename(tmp_path / f"whole-{number}")
            half.release()
    finally:
        done.set()
        thread.join()
    assert len(list(tmp_path.glob("whole-*"))) == 300
