"""`workbench publish` and `workbench dashboards`, with the viewer that they start and stop."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.cli.conftest import Command
from tests.dashboards.conftest import notebook
from tests.services.process import free_port
from workbench.dashboards.process import viewer


@pytest.fixture
def home(environment: dict[str, str], command: Command) -> Iterator[Path]:
    """No viewer stays."""
    yield Path(environment["WORKBENCH_HOME"])
    command("dashboards", "--stop")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "07_Sales report.ipynb"
    path.write_text(json.dumps(notebook(["# Sales of *today*", "print(1)"])))
    return path


def link_in(text: str) -> str:
    found = re.search(r"http://\S+", text)
    assert found is not None, text
    return found[0]


def opened(link: str, password: str | None = None) -> requests.Response:
    """What whoever has the link sees."""
    address, _, token = link.partition("#")
    session = requests.Session()
    session.get(address, timeout=20)
    path = "/" + address.partition("//")[2].partition("/")[2]
    form = {"password": password or token, "_xsrf": session.cookies["_xsrf"], "next": path}
    return session.post(address.replace(path, "/login"), form, timeout=60)


def test_a_notebook_is_published_and_taken_back(command: Command, home: Path, report: Path) -> None:
    port = free_port()
    done = command("publish", report, "--name", "sales", "--port", port)
    link = link_in(done.stdout)
    assert done.stdout.startswith("Sales of today: ")
    assert link.startswith(f"http://127.0.0.1:{port}/d/sales#")
    assert "Sales of" in opened(link).text
    assert opened(link, "wrong").status_code == 401
    listed = command("dashboards").stdout
    assert link in listed
    assert re.search(r"sales +Sales of today +20\d\d-", listed)
    assert f"process {viewer(home).process.pid}" in listed  # type: ignore[union-attr]
    assert "is not published any more" in command("dashboards", "--remove", "sales").stdout
    assert opened(link).status_code == 404
    assert "no dashboard `sales`" in command("dashboards", "--remove", "sales", code=1).stderr.lower()
    assert "Nothing is published" in command("dashboards").stdout


def test_the_name_is_the_file_s_unless_it_is_given(command: Command, home: Path, report: Path) -> None:
    assert "/d/sales-report#" in command("publish", report, "--port", free_port()).stdout
    wrong = command("publish", report, "--name", "No/Name", code=1)
    assert "small letters" in wrong.stderr
    assert wrong.stdout == ""


def test_stop_and_start(command: Command, home: Path, report: Path) -> None:
    first = link_in(command("publish", report, "--port", free_port()).stdout)
    before = viewer(home)
    assert "is stopped" in command("dashboards", "--stop").stdout
    assert viewer(home) is None
    assert not before.process.alive()  # type: ignore[union-attr]
    with pytest.raises(requests.ConnectionError):
        requests.get(first, timeout=5)
    assert "does not run" in command("dashboards", "--stop").stdout
    assert "--start` starts it" in command("dashboards").stdout
    again = link_in(command("dashboards", "--start").stdout)
    assert again.partition("#")[2] == first.partition("#")[2], "links hold"
    assert opened(again).status_code == 200
    assert link_in(command("dashboards", "--start").stdout) == again, "it runs already"


def test_a_new_link_ends_the_old_one(command: Command, home: Path, report: Path) -> None:
    old = link_in(command("publish", report, "--port", free_port()).stdout)
    new = link_in(command("dashboards", "--new-link").stdout)
    assert new.partition("#")[0] == old.partition("#")[0]
    assert opened(old).status_code == 401
    assert opened(new).status_code == 200


def test_another_address_than_the_viewer_s_is_refused(command: Command, home: Path, report: Path) -> None:
    port = free_port()
    command("publish", report, "--port", port)
    done = command("publish", report, "--port", free_port(), code=1)
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--stop" in done.stderr


def test_a_port_that_is_taken(command: Command, home: Path, report: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = command("publish", report, "--port", port, code=1)
        assert "has ended at its start" in done.stderr
        assert str(port) in done.stderr


def test_without_a_port_a_taken_one_is_no_hindrance(command: Command, home: Path, report: Path) -> None:
    import contextlib
    import socket

    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # some other program has it: as good
            stack.enter_context(socket.create_server(("127.0.0.1", 8899)))
        link = link_in(command("publish", report).stdout)
    assert not link.startswith("http://127.0.0.1:8899/")
    assert opened(link).status_code == 200


def test_other_machines_are_let_in_when_it_is_said(command: Command, home: Path, report: Path) -> None:
    port = free_port()
    done = command("publish", report, "--host", "0.0.0.0", "--port", port)
    assert "not encrypted" in done.stdout
    host = link_in(done.stdout).partition("//")[2].partition(":")[0]
    assert host not in ("0.0.0.0", "127.0.0.1", "")
    assert requests.get(f"http://127.0.0.2:{port}/login", timeout=10).status_code == 200


def test_a_password(
    home: Path, report: Path, environment: dict[str, str], workbench_script: list[str], command: Command,
    eventually: Callable[..., object],
) -> None:  # fmt: skip
    """It is asked for at a terminal, and not shown."""
    ours, theirs = pty.openpty()
    words = [*workbench_script, "publish", str(report), "--password", "--port", str(free_port())]
    child = subprocess.Popen(words, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = bytearray()

    def asked() -> bool:
        seen.extend(os.read(ours, 10_000))
        return b"Password for all dashboards" in seen

    eventually(asked, within=30)
    os.write(ours, b"correct horse\n")
    while True:
        try:
            data = os.read(ours, 10_000)
        except OSError:  # the terminal's other end is closed
            break
        seen.extend(data)
    assert child.wait(60) == 0
    os.close(ours)
    text = seen.decode()
    assert "correct horse" not in text
    assert "Whoever looks is asked for the password." in text
    link = link_in(text)
    assert "#" not in link
    assert opened(link, "correct horse").status_code == 200
    assert opened(link, "correct horses").status_code == 401
    assert "#" not in command("dashboards").stdout
    assert opened(link_in(command("dashboards", "--new-link").stdout)).status_code == 200
