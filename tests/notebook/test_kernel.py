"""A kernel as `workbench lab` starts it, spoken to as a notebook does."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

from tests.notebook.conftest import Kernel
from workbench.execution.shared_reading import SharedReader
from workbench.notebook import profile
from workbench.query.showing import MIME
from workbench.runs import Register
from workbench.testing.clock import eventually

SLOW = (
    "select count(*) from web.events a, web.events b, web.events c where a.event_id < b.event_id and c.value < a.value"
)


def test_its_magics_are_there_without_a_word(kernel: Kernel) -> None:
    assert "6,000" in kernel.text("%%sql\nselect format('{:,}', count(*)) as orders from shop.orders")


def test_the_users_own_profile_is_as_it_was(kernel: Kernel) -> None:
    written = [path for path in (kernel.folder / "ipython").rglob("*.py") if "workbench" in path.read_text()]
    assert written == []


def test_rows_come_as_html_and_text(kernel: Kernel) -> None:
    kinds = [set(content["data"]) for kind, content in kernel.run("%sql select 1") if kind == "execute_result"]
    assert kinds == [{"text/html", "text/plain"}]


def test_an_error_is_short_and_is_the_cells(kernel: Kernel) -> None:
    errors = [content for kind, content in kernel.run("%%sql\nselect nme from shop.customers") if kind == "error"]
    assert [error["ename"] for error in errors] == ["UnknownColumn"]
    assert len(errors[0]["traceback"]) < 6
    assert "Did you mean `name`" in errors[0]["evalue"]


def test_completion_reaches_the_front_end(kernel: Kernel) -> None:
    code = "%%sql\nselect o.tot from shop.orders o"

    def reply() -> dict[str, Any]:
        message = kernel.client.complete(code, code.index("tot") + 3)
        while (got := kernel.client.get_shell_msg(timeout=30))["parent_header"]["msg_id"] != message:
            pass
        return got["content"]

    eventually(lambda: reply()["matches"] == ["total"], 10)
    assert reply()["metadata"]["_jupyter_types_experimental"][0]["type"] == "column"


def test_progress_is_shown_and_stop_ends_the_work(kernel: Kernel, home: Path) -> None:
    register, stopped = Register(home / "runs.sqlite"), 0.0

    def stop(content: dict[str, Any]) -> None:
        nonlocal stopped
        if "workbench-progress" in content.get("data", {}).get("text/html", "") and not stopped:
            assert [run.title for run in register.runs()] == [SLOW]
            kernel.manager.interrupt_kernel()
            stopped = time.monotonic()

    outputs = kernel.outputs(kernel.send(f"%%sql\n{SLOW}"), stop)
    assert time.monotonic() - stopped < 2
    assert [content["ename"] for kind, content in outputs if kind == "error"] == ["Cancelled"]
    progress = [content["data"]["text/plain"] for kind, content in outputs if kind.endswith("display_data")]
    assert progress
    assert all(" rows · " in text for text in progress)
    eventually(lambda: not register.runs(), 2, "nothing of it runs")
    assert "1" in kernel.text("%sql select 1"), "and the notebook goes on"


def test_a_result_that_is_used_shows_progress_too(kernel: Kernel, home: Path) -> None:
    """Also where no magic is used; stopped from another process."""
    register = Register(home / "runs.sqlite")

    def stop(content: dict[str, Any]) -> None:
        if "workbench-progress" in content.get("data", {}).get("text/html", ""):
            for run in register.runs():
                register.request_stop(run.id)

    use = "try:\n    r.arrow()\nexcept wb.errors.Cancelled as error:\n    print(error)"
    code = f"import workbench as wb\nr = wb.sql({SLOW!r})\n{use}"
    outputs = kernel.outputs(kernel.send(code), stop)
    assert [content["text"] for kind, content in outputs if kind == "stream"] == ["The query was stopped.\n"]


def test_the_specification_is_found_first_and_belongs_to_the_user(tmp_path: Path) -> None:
    found = profile.environment(tmp_path, {"JUPYTER_PATH": f"here{os.pathsep}there", "A": "b"})
    folder = tmp_path / "jupyter"
    assert found == {"JUPYTER_PATH": os.pathsep.join([str(folder), "here", "there"]), "A": "b"}
    assert profile.environment(tmp_path, found) == found
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    spec = json.loads((folder / "kernels" / "python3" / "kernel.json").read_text())
    assert spec["argv"][-4:] == ["--ext", "workbench", "-f", "{connection_file}"]


def test_in_a_notebook_a_result_can_be_paged_by_another_process(kernel: Kernel, home: Path) -> None:
    kernel.run("import os; os.environ['JPY_SESSION_NAME'] = 'x.ipynb'")  # as a Jupyter server does
    [(_, content)] = [one for one in kernel.run("%sql select i from range(1000) t(i)") if "data" in one[1]]
    assert set(content["data"]) == {"text/html", "text/plain", MIME}
    reader = SharedReader(home / "results", content["data"][MIME]["id"])
    assert kernel.text("print('busy')") == "busy\n"
    assert reader.refresh().rows == 1000
    kernel.run("del os.environ['JPY_SESSION_NAME']")
