"""Pages, views, cells and downloads of a result that another part of the process shares, over a real server."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tornado.httpclient import HTTPClientError

from tests.server.conftest import Ask, problem
from tests.server.test_interface import conforms
from workbench.execution.shared import Shared
from workbench.execution.spool import Spool

NESTED = pa.struct([("k", pa.int64()), ("é", pa.list_(pa.string()))])
SCHEMA = pa.schema(
    [
        ("n", pa.int64()),
        ("text", pa.string()),
        ("price", pa.decimal128(9, 2)),
        ("bytes", pa.binary()),
        ("nested", NESTED),
    ]
)
ROWS: list[dict[str, Any]] = [
    {"n": 1, "text": "plain", "price": Decimal("1.10"), "bytes": b"\x00\xff", "nested": {"k": 1, "é": ["ü", None]}},
    {"n": 2, "text": "ä" * 1001, "price": Decimal("-5.00"), "bytes": bytes(100), "nested": {"k": None, "é": []}},
    dict.fromkeys(SCHEMA.names),
    {"n": 4, "text": "", "price": Decimal("0.00"), "bytes": b"", "nested": {"k": 2, "é": ["x" * 1200]}},
    {"n": 5, "text": "ä" * 1000, "price": Decimal("7.25"), "bytes": b"abc", "nested": None},
]
Share = Callable[[pa.Table], str]


@pytest.fixture
def share(home: Path) -> Iterator[Share]:
    """Shares a table as the kernel does; gives its id."""
    held: list[tuple[Spool, Shared]] = []

    def shared(table: pa.Table) -> str:
        spool = Spool(home / "spool", 1 << 20, schema=table.schema)
        for batch in table.to_batches(max(2, len(table) // 100)):
            spool.append(batch)
        spool.finish()
        held.append((spool, Shared(home / "results", spool)))
        assert held[-1][1].wait(30)
        return held[-1][1].id

    yield shared
    for spool, one in held:
        one.close()
        spool.close()


@pytest.fixture
def result(share: Share) -> str:
    return share(pa.Table.from_pylist(ROWS, SCHEMA))


@pytest.fixture
def fetch(jp_fetch: Any) -> Callable[..., Any]:
    async def fetched(result: str, what: str, **query: object) -> Any:
        params = {key: str(value) for key, value in query.items()}
        return await jp_fetch("workbench", "api", "results", result, what, params=params)

    return fetched


async def found(ask: Ask, result: str, body: object) -> dict[str, Any]:
    """The view of these conditions, once all of its rows are known."""
    view: dict[str, Any] = await ask("POST", f"results/{result}/views", body)
    while True:
        conforms(view, "View")
        if view["state"] != "working":
            return view
        view = await ask("GET", f"results/{result}/views/{view['view']}")


def table(answer: Any) -> pa.Table:
    assert answer.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    return pa.ipc.open_stream(answer.body).read_all()


async def test_how_it_stands(ask: Ask, result: str) -> None:
    said = await ask("GET", f"results/{result}")
    conforms(said, "ResultHead")
    assert (said["rows"], said["state"], said["cap"], said["error"]) == (5, "done", None, None)
    assert said["columns"][2] == {"name": "price", "type": "decimal128(9, 2)"}
    assert (said["estimate"], said["unsearched"]) == (None, ["bytes", "nested"])


async def test_a_page_is_small_and_says_what_it_cut(fetch: Callable[..., Any], result: str) -> None:
    page = table(await fetch(result, "page"))
    rows = page.to_pylist()
    assert [row["n"] for row in rows] == [1, 2, None, 4, 5]
    assert [row["text"] for row in rows] == ["plain", "ä" * 1000, None, "", "ä" * 1000]
    assert [row["price"] for row in rows] == [row["price"] for row in ROWS]
    assert [row["bytes"] for row in rows] == ["0x00ff", f"0x{'00' * 48}… (100 bytes)", None, "0x", "0x616263"]
    assert json.loads(rows[0]["nested"]) == {"k": 1, "é": ["ü", None]}
    assert len(rows[3]["nested"]) == 1000
    assert rows[4]["nested"] is None
    assert json.loads(page.schema.metadata[b"workbench.cut"]) == {"1": [1], "3": [1], "4": [3]}
    assert page.schema.field("bytes").metadata == {b"workbench.kind": b"binary"}
    assert page.schema.field("nested").metadata == {b"workbench.kind": b"nested"}
    assert page.schema.field("price").type == pa.decimal128(9, 2)


async def test_a_page_of_some_rows_and_columns_in_any_order(fetch: Callable[..., Any], result: str) -> None:
    page = table(await fetch(result, "page", start=1, count=3, columns="2,0"))
    assert page.column_names == ["price", "n"]
    assert page["n"].to_pylist() == [2, None, 4]
    assert table(await fetch(result, "page", start=5)).num_rows == 0
    assert table(await fetch(result, "page", start=99)).num_columns == 5


async def test_a_page_of_a_view(ask: Ask, fetch: Callable[..., Any], result: str) -> None:
    body = {"sort": [{"column": "n", "descending": True}], "filters": [{"column": "n", "op": "gt", "value": "1"}]}
    view = await found(ask, result, body)
    assert view == {"view": view["view"], "state": "done", "rows": 3, "seen": 5, "of": 5, "total": 3}
    page = table(await fetch(result, "page", view=view["view"], count=2))
    assert page["n"].to_pylist() == [5, 4]
    assert table(await fetch(result, "page", view=view["view"], start=2))["n"].to_pylist() == [2]
    cell = await fetch(result, "cell", view=view["view"], row=2, column=1)
    assert cell.body.decode() == "ä" * 1001
    download = await fetch(result, "export", view=view["view"], format="parquet")
    assert pq.read_table(io.BytesIO(download.body))["n"].to_pylist() == [5, 4, 2]
    download = await fetch(result, "export", view=view["view"], format="parquet", rows=2)
    assert pq.read_table(io.BytesIO(download.body))["n"].to_pylist() == [5, 4]
    download = await fetch(result, "export", format="parquet", rows=2)
    assert pq.read_table(io.BytesIO(download.body))["n"].to_pylist() == [1, 2]


async def test_a_view_without_conditions_has_all_rows(ask: Ask, fetch: Callable[..., Any], result: str) -> None:
    view = await found(ask, result, {})
    assert table(await fetch(result, "page", view=view["view"]))["n"].to_pylist() == [1, 2, None, 4, 5]


async def test_a_view_is_stopped(ask: Ask, fetch: Callable[..., Any], share: Share) -> None:
    rows = 3_000_000
    result = share(pa.table({"x": pc.divide(pa.arange(0, rows), 7.0)}))
    view = await ask("POST", f"results/{result}/views", {"search": "142"})
    view = await ask("DELETE", f"results/{result}/views/{view['view']}")
    conforms(view, "View")
    assert view["state"] == "stopped"
    assert view["seen"] < rows
    with pytest.raises(HTTPClientError) as error:
        await fetch(result, "export", view=view["view"])
    assert error.value.code == 409
    download = await fetch(result, "export", view=view["view"], rows=view["rows"])  # those that were found
    assert download.body.count(b"\n") == 1 + view["rows"]
    assert (await ask("GET", f"results/{result}/views/{view['view']}")) == view
    with pytest.raises(HTTPClientError) as error:
        await ask("DELETE", f"results/{result}/views/nosuch")
    assert error.value.code == 400


@pytest.mark.parametrize(
    ("row", "column", "code", "kind", "data"),
    [
        (0, 0, 200, "text/plain", b"1"),
        (1, 2, 200, "text/plain", b"-5.00"),
        (1, 3, 200, "application/octet-stream", bytes(100)),
        (0, 4, 200, "application/json", '{"k": 1, "é": ["ü", null]}'.encode()),
        (2, 1, 204, "", b""),
        (3, 1, 200, "text/plain", b""),
    ],
)
async def test_a_cell_is_the_whole_value(
    fetch: Callable[..., Any], result: str, row: int, column: int, code: int, kind: str, data: bytes
) -> None:
    answer = await fetch(result, "cell", row=row, column=column)
    assert (answer.code, answer.body) == (code, data)
    assert answer.headers.get("Content-Type", "").startswith(kind)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("what", "query", "code", "words"),
    [
        ("page", {"columns": "7"}, 400, "from 0 to 4"),
        ("page", {"columns": "0,0"}, 400, "each once"),
        ("page", {"columns": "x"}, 400, "list of numbers"),
        ("page", {"count": "5000"}, 400, "from 1 to 1,000"),
        ("page", {"start": "-1"}, 400, "whole number"),
        ("page", {"view": "nosuch"}, 400, "Sort or filter again"),
        ("cell", {"row": 5, "column": 0}, 400, "5 rows"),
        ("cell", {"row": 0, "column": 9}, 400, "5 columns"),
        ("export", {"format": "exe"}, 400, "csv, parquet"),
    ],
)
async def test_what_cannot_be_given_is_said(
    fetch: Callable[..., Any], result: str, what: str, query: dict[str, object], code: int, words: str
) -> None:
    with pytest.raises(HTTPClientError) as error:
        await fetch(result, what, **query)
    assert error.value.code == code
    assert words in problem(error)["message"]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"filters": [{"column": "m", "op": "eq", "value": 1}]}, 404, "No column `m`"),
        ({"filters": [{"column": "n", "op": "eq", "value": "x"}]}, 400, "`x` for `n` is not a whole number"),
        ({"filters": [{"column": "n", "op": "; drop", "value": 1}]}, 400, "filters/0/op"),
        ({"sort": [{"column": "nested"}]}, 400, "have no order"),
        ({"sql": "select 1"}, 400, "a property `sql`"),
    ],
)
async def test_what_cannot_be_asked_is_said(ask: Ask, result: str, body: object, code: int, words: str) -> None:
    with pytest.raises(HTTPClientError) as error:
        await ask("POST", f"results/{result}/views", body)
    assert error.value.code == code
    assert words in problem(error)["message"]


@pytest.mark.parametrize("name", ["a" * 26, "nosuch", "..", "%2e%2e%2fsecret"])
async def test_no_result_of_that_name(ask: Ask, name: str) -> None:
    with pytest.raises(HTTPClientError) as error:
        await ask("GET", f"results/{name}")
    assert error.value.code == 404


FORMULAS = [
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\tx", '""=1', "   =1", "＝1", "＋1", "－1",
    "＠x", "\u00a0=1", "\ufeff=1", "\u200b=1", "%x", "|x", "-", "-5-5", '"=1', "\n=1", "-=1",
]  # fmt: skip
HARMLESS = ["-5", "-5.0", "-1e5", "5", "a=b", "", "x@y.z", "1+1", "(-5)", "it's"]


@pytest.fixture(scope="module")
def tried(request: pytest.FixtureRequest) -> Iterator[list[bool]]:
    tried: list[bool] = []
    yield tried
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nhostile: tried {len(tried)}, survived {sum(tried)}")


async def test_f14_a_spreadsheet_runs_nothing(fetch: Callable[..., Any], share: Share, tried: list[bool]) -> None:
    texts = FORMULAS + HARMLESS
    answer = await fetch(share(pa.table({"=evil()": texts, "n": range(-5, len(texts) - 5)})), "export", format="csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    head, *rows = csv.reader(io.StringIO(answer.body.decode(), newline=""))
    assert head == ["'=evil()", "n"]
    assert rows[0][1] == "-5"  # numbers are numbers
    for text, (shown, _) in zip(texts, rows, strict=True):
        tried.append(False)
        assert shown == (f"'{text}" if text in FORMULAS else text)
        tried[-1] = True


NAMES = {
    '"; filename=x.html\r\nX: y': "filename_x_html_X_y.csv",
    "../../etc/passwd": "etc_passwd.csv",
    "a\\b:c*d?": "a_b_c_d.csv",
    "": "result.csv",
    ".hidden": "hidden.csv",
    "名前": "result.csv",
    "x" * 180: f"{'x' * 100}.csv",
    "con;\x1b[2J": "con_2J.csv",
}


@pytest.mark.parametrize("name", NAMES)
async def test_e11_a_download_is_named_harmlessly(
    fetch: Callable[..., Any], result: str, name: str, tried: list[bool]
) -> None:
    tried.append(False)
    answer = await fetch(result, "export", **({"name": name} if name else {"name": "."}))
    header = answer.headers["Content-Disposition"]
    assert header.startswith(f'attachment; filename="{NAMES[name]}"; filename*=UTF-8')
    assert "X" not in answer.headers
    assert header.isascii()
    assert not set("\r\n") & set(header)
    tried[-1] = True


async def test_b12_ten_thousand_columns(ask: Ask, fetch: Callable[..., Any], share: Share, tried: list[bool]) -> None:
    tried.append(False)
    wide = share(pa.table({f"c{n}": [n, n + 1] for n in range(10_000)}))
    assert len((await ask("GET", f"results/{wide}"))["columns"]) == 10_000
    page = table(await fetch(wide, "page", columns="0,9999"))
    assert page.to_pydict() == {"c0": [0, 1], "c9999": [9999, 10_000]}
    assert table(await fetch(wide, "page", count=10)).num_columns == 500
    body = {"filters": [{"column": "c9999", "op": "eq", "value": 10_000}], "sort": [{"column": "c0"}]}
    assert (await found(ask, wide, body))["rows"] == 1
    tried[-1] = True
