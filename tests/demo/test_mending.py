"""A demo that somebody broke, moved or took the names of."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench import demo
from workbench.catalog import Catalog
from workbench.demo.making import folder_of, is_whole, make
from workbench.demo.shape import Shape

SMALL = Shape(scale=0.02)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("original"), SMALL)


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Path:
    """A catalog's home with the demo in it, not connected."""
    shutil.copytree(original, folder_of(tmp_path / "demo", SMALL))
    return tmp_path


def _gone(file: Path) -> None:
    file.unlink()


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def _zeroed(file: Path) -> None:
    """As long as before."""
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("breaks", [_gone, _cut, _zeroed])
@pytest.mark.parametrize("name", ["shop.duckdb", "web/events/2026-09-01.parquet"])
def test_what_is_missing_or_broken_is_made_anew(home: Path, name: str, breaks: Callable[[Path], None]) -> None:
    catalog = Catalog(home)
    folder = demo.ensure(catalog, SMALL).folder
    breaks(folder / name)
    assert not is_whole(folder)
    made = demo.ensure(catalog, SMALL)
    assert made.connections == ("shop", "web")
    assert is_whole(folder)
    assert {info.table.name for info in catalog.tables("shop")} >= {"customers", "items", "orders"}
    catalog.close()


def test_rows_that_somebody_changed_are_kept(home: Path) -> None:
    folder = folder_of(home / "demo", SMALL)
    with duckdb.connect(folder / "shop.duckdb") as engine:
        engine.execute("update orders set quantity = 77 where order_id = 1")
    catalog = Catalog(home)
    demo.ensure(catalog, SMALL)
    catalog.close()
    with duckdb.connect(folder / "shop.duckdb", read_only=True) as engine:
        assert engine.execute("select quantity from orders where order_id = 1").fetchall() == [(77,)]


def test_its_parquet_has_checksums(original: Path) -> None:
    day = original / "web" / "events" / "2026-09-01.parquet"
    column = pq.read_metadata(day).row_group(0).column(0)
    data = bytearray(day.read_bytes())
    at = column.data_page_offset + column.total_compressed_size // 2
    data[at : at + 8] = bytes(8)
    with pytest.raises(OSError, match="checksum"):
        pq.read_table(pa.BufferReader(bytes(data)), page_checksum_verification=True)


def test_a_demo_whose_home_was_moved_is_connected_again(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    catalog = Catalog(home)
    demo.ensure(catalog, SMALL)
    catalog.close()
    elsewhere = tmp_path_factory.mktemp("moved") / "home"
    home.rename(elsewhere)
    catalog = Catalog(elsewhere)
    made = demo.ensure(catalog, SMALL)
    assert made.connections == ("shop", "web")
    assert catalog.saved("shop").parameters["path"] == str(made.folder / "shop.duckdb")
    catalog.close()


def test_a_name_of_the_user_s_that_does_not_work_is_said_with_the_way_out(home: Path) -> None:
    mine = home / "mine"
    mine.mkdir()
    catalog = Catalog(home)
    catalog.connect("shop", path=mine)
    mine.rmdir()
    made = demo.ensure(catalog, SMALL)
    assert made.connections == ("web",)
    assert "It does not work (" in made.notes[0]
    assert "`workbench connections shop --remove`" in made.notes[0]
    catalog.close()


KILLED = """
import sys, time
from pathlib import Path
from workbench.demo.making import make
from workbench.demo.shape import Shape

def report(what, fraction):
    print(what, flush=True)
    time.sleep(600)

make(Path(sys.argv[1]), Shape(scale=0.02), report)
"""


def test_what_a_killed_maker_left_is_swept_by_the_next_start(home: Path) -> None:
    base = home / "demo"
    (base / ".broken-0123456789ab").mkdir()
    shutil.rmtree(folder_of(base, SMALL))
    with subprocess.Popen([sys.executable, "-c", KILLED, str(base)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            (left,) = base.glob(".making-*")
            make(base, SMALL)
            assert left.exists(), "its maker lives"
        finally:
            process.kill()
    make(base, SMALL)
    assert [path.name for path in base.iterdir()] == [folder_of(base, SMALL).name]
