"""A new secret puts out also those who are looking."""

from __future__ import annotations

from pathlib import Path

import requests

from tests.dashboards.conftest import ViewerServer
from tests.query.support import eventually
from workbench.dashboards.access import Access


def test_open_pages_end_with_the_secret_that_opened_them(tmp_path: Path) -> None:
    server = ViewerServer(tmp_path, "--idle=600")  # so that nothing else ends them meanwhile
    try:
        server.publish("one", "print(1)")
        session = server.logged_in()
        server.kernel_of(session, "one")
        assert server.kernels() == 1
        Access(server.home / "viewer").renew()
        eventually(lambda: server.kernels() == 0, 30)
        assert session.get(f"{server.url}/d/one", timeout=20, allow_redirects=False).status_code == 302
    finally:
        server.process.stop()


def test_who_guesses_does_not_keep_those_out_who_have_the_link(viewer: ViewerServer) -> None:
    guesses = requests.Session()
    guesses.get(f"{viewer.url}/login", timeout=10)
    for number in range(12):
        form = {"password": f"guess {number}", "_xsrf": guesses.cookies["_xsrf"], "next": "/"}
        assert guesses.post(f"{viewer.url}/login", form, timeout=10).status_code == 401
    assert viewer.logged_in().get(f"{viewer.url}/", timeout=10).status_code == 200
