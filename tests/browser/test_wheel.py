"""The SQL colours out of the wheel, in an environment that is not the checkout's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.jupyter import JupyterServer, LabPage
from tests.wheel import bare_environment


@pytest.fixture(scope="module")
def jupyter(wheel_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    folder = tmp_path_factory.mktemp("jupyter-wheel")
    command = (str(wheel_python), *JupyterServer.COMMAND.split())
    server = JupyterServer(folder, command, bare_environment(wheel_python, folder / "home"))
    yield server
    server.close()


def test_colours_and_the_magic(lab: LabPage) -> None:
    query = "%%sql found <<\nselect 40 + 2 as answer where true"
    lab.open("wheel.ipynb", "%load_ext workbench", query, "print(found.polars()['answer'].to_list())")
    lab.wait_for_word("where")
    lab.run_all()
    lab.output(2).get_by_text("[42]").wait_for()
