"""The native core as a library: loading, refusing, and never unwinding into Python."""

from __future__ import annotations

import ctypes
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native import fuzz_bson, fuzz_hbase, fuzz_hive, fuzz_mysql
from workbench.contract.errors import NativeMissing
from workbench.kit import native


def test_the_library_is_there_and_of_this_abi() -> None:
    assert native.library().workbench_abi() == native.ABI


def test_a_missing_library_is_told_by_name_and_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(native, "path", lambda: tmp_path / "libworkbench_native.so")
    with pytest.raises(NativeMissing, match=r"libworkbench_native.so is not there\. .*make setup") as caught:
        native.library()
    assert isinstance(caught.value, ImportError)


def test_a_library_of_other_sources_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = tmp_path / "copy.so"
    shutil.copy(native.path(), copy)
    monkeypatch.setattr(native, "path", lambda: copy)
    monkeypatch.setattr(native, "ABI", native.ABI + 1)
    with pytest.raises(NativeMissing, match=f"says {native.ABI - 1}, this package wants {native.ABI}"):
        native.library()


def test_what_is_no_library_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "text.so"
    file.write_text("no library")
    monkeypatch.setattr(native, "path", lambda: file)
    with pytest.raises(NativeMissing, match="cannot be loaded"):
        native.library()


def test_importing_the_door_loads_neither_the_library_nor_arrow() -> None:
    code = (
        "import sys, workbench.kit.native as n, workbench.kit.columns\n"
        "assert 'pyarrow' not in sys.modules\n"
        "assert n._load.cache_info().currsize == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.filterwarnings("default")
def test_a_panic_is_a_number(capfd: pytest.CaptureFixture[str]) -> None:
    function = native.library().workbench_test_panic
    function.argtypes, function.restype = (ctypes.c_int64,), ctypes.c_int32
    assert function(1) == 0
    assert function(7) == -99
    assert function(-1) == -1
    assert "panicked" in capfd.readouterr().err


def _columns() -> tuple[ctypes.Array[native.Column], list[ctypes.Array[ctypes.c_char]]]:
    columns = (native.Column * 1)()
    memory = [ctypes.create_string_buffer(64) for _ in range(4)]
    for name, buffer in zip(("validity", "values", "offsets", "data"), memory, strict=True):
        setattr(columns[0], name, ctypes.addressof(buffer))
    columns[0].kind, columns[0].capacity = 10, 64
    return columns, memory


@pytest.mark.parametrize(
    ("change", "progress"),
    [
        ({"kind": 99}, {}),
        ({"kind": -1}, {}),
        ({"kind": 8, "precision": 39}, {}),
        ({"kind": 8, "precision": 5, "scale": -1}, {}),
        ({"validity": 0}, {}),
        ({"offsets": 0}, {}),
        ({"capacity": -1}, {}),
        ({"capacity": 2**40}, {}),
        ({}, {"rows": 5}),
        ({}, {"rows": -1}),
        ({}, {"slots": 2**62}),
        ({}, {"slots": 2**63 - 1}),
    ],
)
@pytest.mark.parametrize("function", ["workbench_mysql_packets", "workbench_mysql_long_row"])
def test_a_wrong_call_is_refused(function: str, change: dict[str, int], progress: dict[str, int]) -> None:
    columns, memory = _columns()
    for name, value in change.items():
        setattr(columns[0], name, value)
    with pytest.raises(RuntimeError, match="failed with -1"):
        native.call(function, 0, 0, columns, native.Progress(**{"rows": 0, "slots": 4, **progress}))
    assert all(not any(buffer.raw) for buffer in memory)


def test_wrong_input_pointers_are_refused() -> None:
    columns, _memory = _columns()
    for address, length in ((0, 1), (1, -1)):
        with pytest.raises(RuntimeError, match="failed with -1"):
            native.call("workbench_mysql_packets", address, length, columns, native.Progress(slots=4))


def test_the_fence_of_the_fuzzer_bites() -> None:
    code = "import ctypes; from tests.native.fence import Fence; ctypes.memset(Fence(10).at(8), 1, 9)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], env={"PYTHONPATH": "connectors"})
    assert ran.returncode == -signal.SIGSEGV


def test_fuzz_for_five_seconds() -> None:
    seen = fuzz_mysql.fuzz(5.0, seed=20261125)
    assert all(seen[f"state {state}"] for state in (0, 1, 2, 4, 5, 6, 7, 8)), seen
    assert seen["rows"] > 1000


def test_fuzz_documents_for_five_seconds() -> None:
    seen = fuzz_bson.fuzz(5.0, seed=20261129)
    assert seen["refused"] > 100, seen
    assert seen["read"] > 100, seen


def test_the_crate_s_own_tests() -> None:
    cargo = shutil.which("cargo")
    # rustup's own cargo is there without a tool chain, too, where HOME is another one.
    if cargo is None or subprocess.run([cargo, "--version"], capture_output=True).returncode != 0:
        pytest.skip("no cargo on this machine: the build fetched one for itself")
    manifest = Path(__file__).parents[2] / "native" / "Cargo.toml"
    command = [cargo, "test", "--offline", "--locked", "--manifest-path", str(manifest)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " 0 failed" in ran.stdout


def test_fuzz_rows_of_hbase_for_five_seconds() -> None:
    seen = fuzz_hbase.fuzz(5.0, seed=20261129)
    assert seen["read"]
    assert seen["refused"]


def test_fuzz_rows_of_hive_server_2_for_five_seconds() -> None:
    seen = fuzz_hive.fuzz(5.0, seed=20261129)
    assert seen["read"] > 50
    assert seen["refused"] > 50
