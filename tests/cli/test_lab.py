"""`workbench lab`: what is there when Lab has started."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.services.process import free_port
from workbench.demo.examples import examples

Start = Callable[..., str]


@pytest.fixture
def lab(
    environment: dict[str, str], workbench_script: list[str], tmp_path: Path, eventually: Callable[..., object]
) -> Iterator[Start]:
    """Starts it in a folder; the address that it prints."""
    children: list[subprocess.Popen[bytes]] = []

    def start(folder: Path, *words: str) -> str:
        log = tmp_path / f"lab-{len(children)}.log"
        with open(log, "wb") as file:
            words = ("--folder", str(folder), "--no-browser", "--port", str(free_port()), *words)
            command = [*workbench_script, "lab", *words]
            children.append(
                subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT, cwd=tmp_path)
            )
        found = eventually(lambda: re.search(r"http://127\.0\.0\.1:\S+token=\w+", log.read_text()), within=60)
        assert isinstance(found, re.Match)
        address = found[0]
        eventually(lambda: answers(address), within=30)  # it prints the address before it listens there
        return address

    yield start
    for child in children:
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=30) == 0


def answers(address: str) -> bool:
    try:
        return bool(fetch(address, "/api/status"))
    except urllib.error.URLError:
        return False


def fetch(address: str, path: str) -> str:
    base, token = re.fullmatch(r"(http://[^/]+)/.*token=(\w+)", address).groups()  # type: ignore[union-attr]
    request = urllib.request.Request(base + path, headers={"Authorization": f"token {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        text: str = answer.read().decode()
        return text


def test_lab_starts_with_something_to_begin_with(lab: Start, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    source = examples()
    names = sorted(path.name for path in source.glob("*.ipynb")) if source else []
    if names:
        (folder / names[0]).write_text("mine")
    address = lab(folder, "--no-demo")
    specs = json.loads(fetch(address, "/api/kernelspecs"))
    assert specs["kernelspecs"][specs["default"]]["spec"]["argv"].count("workbench") == 1
    connectors = json.loads(fetch(address, "/workbench/api/connectors"))["connectors"]
    assert {"duckdb", "files", "mysql"} <= {one["name"] for one in connectors}
    page = fetch(address, "/lab")
    assert "@jupyterlab/apputils-extension:announcements" in page.partition("disabledExtensions")[2].partition("]")[0]
    assert sorted(one["name"] for one in json.loads(fetch(address, "/api/contents"))["content"]) == names
    if names:
        assert names[0] in address
        assert (folder / names[0]).read_text() == "mine", "never overwritten"
        assert (folder / names[-1]).read_bytes() == (source / names[-1]).read_bytes() or len(names) == 1  # type: ignore[operator]


def test_it_ends_when_it_is_told_to_although_it_is_busy(
    lab: Start, tmp_path: Path, eventually: Callable[..., object]
) -> None:
    """The fixture tells it to, while every client waits for an answer."""
    address = lab(tmp_path / "work", "--no-demo")
    answered = threading.Semaphore(0)

    def ask() -> None:
        try:
            while True:
                fetch(address, "/api/contents")
                answered.release()
        except (OSError, http.client.HTTPException):
            return  # the server is gone

    for _ in range(6):
        threading.Thread(target=ask, daemon=True).start()
    eventually(lambda: answered.acquire(blocking=False), within=20)


def test_what_is_not_used_there_is_not_loaded(lab: Start, tmp_path: Path) -> None:
    address = lab(tmp_path / "work", "--no-demo")
    for path in ("/voila/tree", "/lsp/status"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(address, path)
        assert caught.value.code == 404
        caught.value.close()


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT])
def test_it_is_stopped_while_it_makes_the_demo(
    way: signal.Signals,
    environment: dict[str, str],
    workbench_script: list[str],
    tmp_path: Path,
    eventually: Callable[..., object],
) -> None:
    words = [*workbench_script, "lab", "--no-browser", "--folder", str(tmp_path / "work")]
    child = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, cwd=tmp_path, text=True)
    eventually(lambda: [*(tmp_path / "workbench").rglob("shop.duckdb")], within=60)
    child.send_signal(way)
    _, said = child.communicate(timeout=60)
    assert said.strip().endswith("workbench lab: stopped.")
    assert "mistake" not in said
    assert child.returncode == 130


def test_a_stranger_is_not_let_in(lab: Start, tmp_path: Path) -> None:
    address = lab(tmp_path / "work", "--no-demo")
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(address.partition("token=")[0] + "token=abc", "/api/contents")
    assert caught.value.code == 403
    caught.value.close()
