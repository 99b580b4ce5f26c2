"""Values that a result may have, and for which Arrow's checks or Python have no room, are shown and exported whole."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.query.support import World, eventually
from workbench.execution.layouts import sound
from workbench.execution.shared_reading import SharedReader
from workbench.query import pages, showing
from workbench.query.exporting import encoded
from workbench.query.jsonlines import lines
from workbench.query.pylist import pylist

HUGE = 2**127 - 1
ASKED = f"""select time '24:00:00' as t, {HUGE}::hugeint as h, [time '24:00:00', time '00:00:01'] as ts,
  {{'h': {HUGE}::hugeint}} as s, time '23:59:59.5' as u"""


@pytest.fixture
def reader(world: World, monkeypatch: pytest.MonkeyPatch) -> SharedReader:
    monkeypatch.setattr(showing, "has_grid", lambda: True)
    result = world.session.sql(ASKED)
    result.wait()
    world.kept = result  # type: ignore[attr-defined]  # its files go with it
    reader = SharedReader(world.home / "results", result._repr_mimebundle_()[showing.MIME]["id"])
    eventually(lambda: reader.refresh().state == "done")
    return reader


def test_the_end_of_a_day_and_the_largest_numbers_are_on_the_page(reader: SharedReader) -> None:
    shown = pa.ipc.open_stream(pages.page(reader, range(1), range(5))).read_all()
    assert shown.column("t").chunk(0).view(pa.int64()).to_pylist() == [86_400_000_000]  # the browser writes it out
    assert shown.column("h").to_pylist()[0] == HUGE
    texts = [pages.cell(reader, 0, at).data.decode() for at in range(5)]
    assert texts[:2] == ["24:00:00", str(HUGE)]
    assert texts[4] == "23:59:59.500000"
    assert str(HUGE) in texts[3]


def test_they_are_in_the_file_too(reader: SharedReader) -> None:
    head, row = b"".join(encoded(reader, range(1), ".csv")).decode().splitlines()
    assert head.startswith('"t","h"')
    assert row.startswith(f'"24:00:00",{HUGE},')
    assert "out of range" not in row
    assert '"23:59:59.500000"' in row


def test_as_text_and_in_a_table(world: World) -> None:
    result = world.session.sql(ASKED)
    for text in (repr(result), result._repr_html_()):
        assert "24:00:00" in text
        assert str(HUGE)[:30] in text
    batch = result.arrow().to_batches()[0].select(["t", "u"])
    assert lines(batch).to_pybytes() == b'{"t": "24:00:00", "u": "23:59:59.500000"}\n'


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_every_unit_of_a_time(unit: str) -> None:
    second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    whole = pa.int32() if unit in ("s", "ms") else pa.int64()
    kind = pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)
    column = pa.array([86_400 * second, 61 * second, None], whole).view(kind)
    assert pylist(column) == ["24:00:00", "00:01:01", None]
    if unit != "s":
        later = pa.array([86_400 * second + 5], whole).view(kind)
        assert pylist(later) == [f"24:00:00.{5:0{len(str(second)) - 1}d}"]


def test_fields_of_one_name_and_zones_that_nobody_knows() -> None:
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array(["b"])], ["a", "a"])
    there = pa.array([1_000_000], pa.timestamp("us", "Mars/Olympus"))
    batch = pa.RecordBatch.from_arrays([twice, pa.ListArray.from_arrays([0, 1], twice), there], ["s", "l", "z"])
    assert pylist(batch.column(0)) == [{"a": 1, "a (2)": "b"}]
    assert pylist(batch.column(1)) == [[{"a": 1, "a (2)": "b"}]]
    assert str(pylist(batch.column(2))[0]) == "1970-01-01 00:00:01"
    page = pa.ipc.open_stream(pages.screen(list(batch.schema), [batch])).read_all()
    assert page.column("s").to_pylist() == ['{"a": 1, "a (2)": "b"}']


def test_damage_is_still_found() -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    late = pa.array([86_400], pa.int32()).view(pa.time32("s"))
    for column in (broken, pa.StructArray.from_arrays([broken, late], ["a", "t"])):
        with pytest.raises(pa.ArrowInvalid):
            sound(column)
    sound(pa.StructArray.from_arrays([late], ["t"]))
