"""Documents: atomic, private, versioned, and nothing is lost."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from workbench.contract.errors import DocumentError, InvalidParameter
from workbench.contract.secret import Secret
from workbench.documents import DocumentStore


@pytest.fixture
def store(tmp_path: Path) -> DocumentStore:
    return DocumentStore(tmp_path / "documents")


def test_round_trip_and_names(store: DocumentStore) -> None:
    assert store.names("reports") == []
    store.save("reports", "daily", {"sql": "select 'é\0'", "n": 1.5, "none": None})
    store.save("reports", "Weekly_2", {})
    assert store.names("reports") == ["Weekly_2", "daily"]
    assert store.load("reports", "daily").body == {"sql": "select 'é\0'", "n": 1.5, "none": None}
    store.remove("reports", "daily")
    assert store.find("reports", "daily") is None
    with pytest.raises(DocumentError, match="not there"):
        store.load("reports", "daily")
    with pytest.raises(DocumentError, match="not there"):
        store.remove("reports", "daily")


def test_what_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = DocumentStore(tmp_path / "file" / "documents")
    for change in (lambda: nowhere.save("reports", "daily", {}), lambda: nowhere.names("reports")):
        with pytest.raises(DocumentError, match=r"cannot be .*: Not a directory \(.*reports.*\)"):
            change()
    (tmp_path / "reports" / "daily.json").mkdir(parents=True)
    store = DocumentStore(tmp_path)
    for change in (lambda: store.save("reports", "daily", {}), lambda: store.remove("reports", "daily")):
        with pytest.raises(DocumentError, match="cannot be set aside"):
            change()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(body=st.dictionaries(st.text(), json_values, max_size=4))
def test_any_json_comes_back(store: DocumentStore, body: dict[str, object]) -> None:
    store.save("k", "n", body)
    assert store.load("k", "n").body == body


def test_files_are_the_users_alone(store: DocumentStore, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store.save("k", "n", {})
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "documents").rglob("*")}
    assert modes == {"k": 0o700, "n.json": 0o600}
    assert stat.S_IMODE((tmp_path / "documents").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["", "..", "a/b", "a.b", "é", "x" * 65, "a\n", "a\0", " ", None, 7])
def test_names_are_checked(store: DocumentStore, name: str) -> None:
    for call in (store.load, store.remove, store.find):
        with pytest.raises(InvalidParameter):
            call("k", name)
        with pytest.raises(InvalidParameter):
            call(name, "n")
    with pytest.raises(InvalidParameter):
        store.save("k", name, {})


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), Secret("hunter2"), b"hunter2"])
def test_only_json_is_saved(store: DocumentStore, value: object) -> None:
    store.save("k", "n", {"was": 1})
    with pytest.raises(DocumentError) as caught:
        store.save("k", "n", {"x": value})
    assert "hunter2" not in str(caught.value)
    assert store.load("k", "n").body == {"was": 1}


def test_newer_versions_are_refused_and_kept(store: DocumentStore) -> None:
    store.save("k", "n", {"from": "the future"}, version=3)
    with pytest.raises(DocumentError, match=r"version 3.*up to 1"):
        store.load("k", "n")
    with pytest.raises(DocumentError, match="version 3"):
        store.save("k", "n", {}, version=1)
    assert store.load("k", "n", newest=3).body == {"from": "the future"}
    store.save("k", "n", {"now": 1}, version=4)
    assert store.load("k", "n", newest=4).version == 4


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'{"kind":"k","name":"n","version":1,"body":{"a":NaN}}',
    b'{"kind":"k","name":"n","version":"1","body":{}}',
    b'{"kind":"k","name":"n","version":true,"body":{}}',
    b'{"kind":"k","name":"n","version":0,"body":{}}',
    b'{"kind":"k","name":"n","version":1,"body":[]}',
    b'{"kind":"k","name":"other","version":1,"body":{}}',
    b'{"kind":"k","name":"n","version":1}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 100_000,
]


@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: repr(data[:30]))
def test_a_damaged_file_says_so_and_is_kept(store: DocumentStore, tmp_path: Path, data: bytes) -> None:
    store.save("k", "n", {})
    path = tmp_path / "documents" / "k" / "n.json"
    path.write_bytes(data)
    with pytest.raises(DocumentError, match=r"is damaged.*kept") as caught:
        store.load("k", "n")
    assert len(str(caught.value)) < 1000
    assert store.names("k") == ["n"]
    store.save("k", "n", {"new": 1})
    assert store.load("k", "n").body == {"new": 1}
    path.write_bytes(data)
    store.remove("k", "n")
    assert store.names("k") == []
    assert [file.read_bytes() for file in sorted(path.parent.iterdir())] == [data, data]


def test_cut_at_every_byte(store: DocumentStore, tmp_path: Path) -> None:
    store.save("k", "n", {"a": [1, "é", {"b": None}]})
    path = tmp_path / "documents" / "k" / "n.json"
    whole = path.read_bytes()
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        try:
            assert store.load("k", "n").body == {"a": [1, "é", {"b": None}]}
        except DocumentError:
            continue
        assert whole[length:].strip() == b""


def test_writers_and_readers_at_once(store: DocumentStore, tmp_path: Path) -> None:
    long = "x" * 50_000
    store.save("k", "n", {"who": -1, "text": long})
    done = threading.Event()
    bad: list[object] = []

    def read() -> None:
        while not done.is_set():
            body = store.load("k", "n").body
            if body["text"] != long:
                bad.append(body)

    def write(who: int) -> None:
        for _ in range(20):
            store.save("k", "n", {"who": who, "text": long})

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert not bad
    assert [path.name for path in (tmp_path / "documents" / "k").iterdir()] == ["n.json"]


def test_killed_writer_leaves_a_whole_document(store: DocumentStore, tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from workbench.documents import DocumentStore
store = DocumentStore(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    store.save("k", "n", {"number": number, "text": "x" * 100_000})
    if number == 3:
        print("going", flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "documents")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"going\n"
        child.kill()
        child.wait()
    body = json.loads((tmp_path / "documents" / "k" / "n.json").read_text())["body"]
    assert body["number"] >= 3
    assert len(body["text"]) == 100_000
    assert store.load("k", "n").body == body
