"""What a real HDFS does not do at will: servers of ours that answer as name nodes and data nodes do, or do not."""

from __future__ import annotations

import contextlib
import io
import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.services import certificate
from workbench.catalog import Catalog
from workbench.contract import ConnectionConfig, Secret
from workbench.contract.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionLost,
    InvalidParameter,
    PathUnreachable,
    ProtocolError,
    Unreachable,
    UrlRefused,
)
from workbench_hive.remote import RemoteFile, reading
from workbench_hive.webhdfs import WebHdfs

CONTENT = bytes(range(256)) * 4096
TOKEN = "HAAEcm9vd-c4nary"
Asked = dict[str, str]
Answers = Callable[[Asked], tuple[int, dict[str, str], bytes]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    asked: list[Asked]
    answers: Answers
    port: int


@contextlib.contextmanager
def serving(answers: Answers, tls: tuple[Path, Path] | None = None) -> Iterator[_Server]:
    """`answers` gets what was asked for (`path` among it), and gives status, headers and body; a body shorter than its
    Content-Length is cut off there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            asked = {"path": urllib.parse.unquote(path), **dict(urllib.parse.parse_qsl(query))}
            server.asked.append(asked)
            status, headers, body = server.answers(asked)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    server.asked, server.answers, server.port = [], answers, server.server_address[1]
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hdfs(webhdfs: str, token: str = "", **parameters: object) -> WebHdfs:
    secrets = {"webhdfs_token": Secret(token)} if token else {}
    given = {"webhdfs": webhdfs, "user": "reader", "connect_timeout": 5, **parameters}
    return WebHdfs(ConnectionConfig("lake", given, secrets))


def part(asked: Asked) -> bytes:
    return CONTENT[int(asked["offset"]) : int(asked["offset"]) + int(asked["length"])]


def whole(asked: Asked) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, part(asked)


def refusal(kind: str, message: str, status: int = 403) -> tuple[int, dict[str, str], bytes]:
    told = {"RemoteException": {"exception": kind, "javaClassName": kind, "message": message}}
    return status, {}, json.dumps(told).encode()


def sends(*ports: int, host: str = "127.0.0.1", scheme: str = "http") -> Answers:
    """A name node that sends to those data nodes, one after the other."""
    left = list(ports)

    def answers(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        port = left.pop(0) if len(left) > 1 else left[0]
        said = f"op=OPEN&offset={asked['offset']}&length={asked['length']}"
        return 307, {"Location": f"{scheme}://{host}:{port}/webhdfs/v1{asked['path'][11:]}?{said}"}, b""

    return answers


def at(server: _Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def test_what_one_data_node_breaks_off_another_goes_on_with() -> None:
    def cut(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Length": asked["length"]}, part(asked)[:300_000]

    with serving(cut) as one, serving(whole) as two, serving(sends(one.port, two.port)) as names:
        assert hdfs(at(names)).read("/a", 7, 900_000) == CONTENT[7:900_007]
        assert "excludedatanodes" not in names.asked[0]
        assert names.asked[1]["excludedatanodes"] == "127.0.0.1"
        assert names.asked[1]["user.name"] == "reader"
        assert int(names.asked[1]["offset"]) == 300_007
        assert int(names.asked[1]["length"]) == 600_000


def test_a_part_is_asked_for_a_few_times_only() -> None:
    def nothing(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Length": asked["length"]}, b""

    with serving(nothing) as one, serving(sends(one.port)) as names:
        with pytest.raises(ConnectionLost, match=r"ended in the middle.*files=false"):
            hdfs(at(names)).read("/a", 0, 10)
        assert len(names.asked) == 3


def test_one_that_was_left_out_is_asked_again_when_no_other_has_the_part() -> None:
    turns = iter([refusal("IOException", "it is just starting")])

    def late(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        return next(turns, None) or whole(asked)

    with serving(late) as data:
        sent = sends(data.port)

        def answers(asked: Asked) -> tuple[int, dict[str, str], bytes]:
            if "excludedatanodes" in asked:
                return refusal("IOException", "No active nodes contain this block")
            return sent(asked)

        with serving(answers) as names:
            assert hdfs(at(names)).read("/a", 1, 20) == CONTENT[1:21]


def test_a_gateway_sends_the_bytes_itself() -> None:
    with serving(whole) as names:
        assert hdfs(at(names)).read("/a", 3, 5000) == CONTENT[3:5003]


def test_more_than_was_asked_for_is_not_taken() -> None:
    with serving(lambda _: (200, {}, CONTENT)) as names:
        assert hdfs(at(names)).read("/a", 0, 10) == CONTENT[:10]


def test_the_name_node_on_standby_is_passed_by() -> None:
    about = {"FileStatus": {"pathSuffix": "", "type": "DIRECTORY", "length": 0, "modificationTime": 1, "fileId": 1}}
    standby = lambda _: refusal("StandbyException", "Operation category READ is not supported in state standby")  # noqa: E731
    with serving(standby) as one, serving(lambda _: (200, {}, json.dumps(about).encode())) as two:
        both = hdfs(f"{at(one)},{at(two)}")
        assert both.node() == f"127.0.0.1:{two.port}"
        both.about("/")
        assert len(one.asked) == 1  # who answered is asked first
        two.answers = standby
        with pytest.raises(Unreachable, match=rf"{one.port}: on standby.*") as caught:
            both.about("/")
        assert f"{two.port}: on standby" in str(caught.value)


def test_no_data_node_is_asked_that_is_not_on_the_list() -> None:
    with serving(whole) as data:
        for host, allowed in (
            ("localhost", False),
            ("169.254.169.254", False),
            ("127.0.0.1.evil.example", False),
            ("127.0.0.1", True),
        ):
            with serving(sends(data.port, host=host)) as names:
                if allowed:
                    assert hdfs(at(names)).read("/a", 0, 5) == CONTENT[:5]
                else:
                    with pytest.raises(UrlRefused, match="datanodes"):
                        hdfs(at(names)).read("/a", 0, 5)
        assert len(data.asked) == 1


@pytest.mark.parametrize(
    "place",
    [
        "",
        "/webhdfs/v1/a?op=OPEN",
        "ftp://127.0.0.1:1/webhdfs/v1/a",
        "http://u@127.0.0.1:1/webhdfs/v1/a",
        "https://127.0.0.1:1/webhdfs/v1/a",
        "http://127.0.0.1:99999/webhdfs/v1/a",
        "http://127.0.0.1:1/x",
    ],
)
def test_what_is_no_data_node_is_not_followed(place: str) -> None:
    with serving(lambda _: (307, {"Location": place}, b"")) as names, pytest.raises(ProtocolError, match="sends us to"):
        hdfs(at(names)).read("/a", 0, 5)


def test_domains_are_named_with_their_dot() -> None:
    with serving(whole) as data, serving(sends(data.port)) as names:
        where = f"http://localhost:{names.port}"
        assert hdfs(where, datanodes="x.example,.0.0.1").read("/a", 0, 5) == CONTENT[:5]
        for listed in ("0.0.1", ".7.0.0.1", "127.0.0", "127.0.0.1.example"):
            with pytest.raises(UrlRefused):
                hdfs(where, datanodes=listed).read("/a", 0, 5)
        assert len(data.asked) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (refusal("AccessControlException", "Permission denied: user=reader"), PathUnreachable, "Permission denied"),
        (refusal("SecurityException", "Failed to obtain user group", 401), AuthenticationFailed, "Kerberos"),
        (refusal("InvalidToken", "token is expired"), AuthenticationFailed, "expired"),
        (refusal("IOException", "Blocks\nare missing", 500), PathUnreachable, "Blocks are missing .IOException."),
        (refusal("RetriableException", "not started"), Unreachable, "not ready"),
        ((401, {"WWW-Authenticate": "Negotiate"}, b"<html>"), AuthenticationFailed, "Kerberos"),
        ((302, {"Location": "http://169.254.169.254/"}, b""), ProtocolError, "HTTP 302"),
        ((500, {}, b"<html>"), ProtocolError, "HTTP 500"),
        ((200, {}, b"<html>"), ProtocolError, "not as WebHDFS"),
        ((200, {}, b"[" * 100_000), ProtocolError, "not as WebHDFS"),
        ((200, {}, b"{}" + b" " * 100_000), ProtocolError, "more than 65,536 bytes"),
        ((200, {}, b'{"FileStatus": {"type": "FILE"}}'), ProtocolError, "describes no file"),
        ((200, {"Content-Length": "90"}, b"{"), ConnectionLost, "Run the query again"),
    ],
)
def test_refusals_are_errors_of_ours(answer: Any, kind: type[Exception], told: str) -> None:
    with serving(lambda _: answer) as names, pytest.raises(kind, match=told) as caught:
        hdfs(at(names)).about("/a")
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_not_there() -> None:
    with serving(lambda _: refusal("FileNotFoundException", "File does not exist: /a", 404)) as names:
        for ask in (hdfs(at(names)).about, hdfs(at(names)).listed, lambda path: hdfs(at(names)).read(path, 0, 1)):
            with pytest.raises(FileNotFoundError, match="/a"):
                ask("/a")


@pytest.mark.parametrize("name", ["../x", "..", "a/b"])
def test_a_folder_says_no_other_folders_files(name: str) -> None:
    one = {"pathSuffix": name, "type": "FILE", "length": 1, "modificationTime": 1, "fileId": 1}
    told = json.dumps({"FileStatuses": {"FileStatus": [one]}}).encode()
    with serving(lambda _: (200, {}, told)) as names, pytest.raises(ProtocolError, match="no folder"):
        hdfs(at(names)).listed("/a")


def test_a_token_goes_over_tls_only_and_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidParameter, match="https"):
        hdfs("http://127.0.0.1:1", TOKEN)
    pair = certificate.make(tmp_path)
    with serving(whole, pair) as data, serving(sends(data.port, scheme="https"), pair) as names:
        where = f"https://127.0.0.1:{names.port}"
        with pytest.raises(Unreachable, match="certificate verify failed"):
            hdfs(where, TOKEN).about("/a")
        monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
        assert hdfs(where, TOKEN).read("/a", 0, 50) == CONTENT[:50]
        assert names.asked[0]["delegation"] == TOKEN
        assert "user.name" not in names.asked[0]
        names.answers = lambda asked: refusal("InvalidToken", f"token {asked['delegation']} is not known")
        with pytest.raises(AuthenticationFailed) as caught:
            hdfs(where, TOKEN).about("/a")
        assert TOKEN not in str(caught.value)
        names.answers = sends(data.port)  # without TLS
        with pytest.raises(ProtocolError, match="http://"):
            hdfs(where, TOKEN).read("/a", 0, 50)


def test_secrets_stay_behind_when_a_connection_leads_to_other_nodes(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, ask=lambda _: Secret(""))
    url = "hive://u@h/d?files=true&metastore=m:9083&webhdfs=https://nn.lake.example:9871&datanodes=.lake.example"
    given = {"password": "env:HIVE_PASSWORD", "webhdfs_token": "env:HIVE_TOKEN"}
    assert catalog.connect("lake", url, secret=given, test=False).secrets == given
    assert catalog.connect("lake", f"{url}&guard=60", test=False).secrets == given
    for other in (url.replace("nn.", "evil."), url.replace("=.lake", "=.evil")):
        assert not catalog.connect("lake", other, test=False).secrets
        catalog.connect("lake", url, secret=given, test=False)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("hdfs:///t", "no file system"),
        ("hdfs://t", "no file system"),
        ("hdfs://me@name/t", "no file system"),
        ("hdfs://other:8020/t", "hdfs://other:8020"),
        ("hdfs://name.evil.example/t", "none of the name nodes"),
        ("hdfs://name/t/../../secret", "dots"),
    ],
)
def test_locations_of_others_are_refused(location: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        hdfs("http://name:9870").path(location)


def test_the_path_is_what_stands_there() -> None:
    one = hdfs("http://name:9870")
    assert one.path("hdfs://name:8020/a b/p=x%2Fy?#") == "/a b/p=x%2Fy?#"
    assert one.path("hdfs://NAME/") == "/"
    assert hdfs("http://name:9870", nameservice="lake").path("hdfs://lake/t/") == "/t"
    with pytest.raises(ValueError, match="this connection's are at hdfs://lake"):
        hdfs("http://name:9870", nameservice="lake").path("hdfs://name/t")


@pytest.mark.parametrize("text", ["name:9870", "http://name", "ftp://name:1", "http://name:0", "http://name:1/x",
                                  "http://a:1,https://b:1", "http://u@name:1"])  # fmt: skip
def test_name_nodes_are_said_with_scheme_and_port(text: str) -> None:
    with pytest.raises(InvalidParameter, match="webhdfs"):
        hdfs(text)


def test_stop_is_seen_between_blocks() -> None:
    def stopped() -> None:
        raise Cancelled("The scan")

    with serving(whole) as names, pytest.raises(Cancelled):
        hdfs(at(names)).read("/a", 0, 10, stopped)


class _Kept:
    """Stands for WebHdfs over bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, path: str, offset: int, length: int, check: Callable[[], None]) -> bytes:
        assert offset >= 0
        assert length > 0
        assert offset + length <= len(self.content)
        return self.content[offset : offset + length]


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(-50, 1500), st.integers(-1, 1500)), max_size=20))
def test_a_remote_file_reads_as_any_file(steps: list[tuple[int, int, int]]) -> None:
    content = CONTENT[:1000]
    plain: Any = io.BytesIO(content)
    remote = RemoteFile(_Kept(content), "/a", len(content), lambda: None)  # type: ignore[arg-type]
    for whence, offset, size in steps:
        at = {0: 0, 1: plain.tell(), 2: len(content)}[whence] + offset
        if at < 0:
            with pytest.raises(ValueError, match="beginning"):
                remote.seek(offset, whence)
            continue
        assert remote.seek(offset, whence) == plain.seek(at)
        assert remote.read(size) == plain.read(size)
        assert remote.tell() == plain.tell()


def test_what_went_wrong_with_a_file_is_raised_as_it_was() -> None:
    lost = ConnectionLost("it ended", "lake")

    class Broken(_Kept):
        def read(self, *_: Any) -> bytes:
            raise lost

    import pyarrow.parquet as pq

    broken = RemoteFile(Broken(b""), "/a", 1000, lambda: None)  # type: ignore[arg-type]
    with pytest.raises(ConnectionLost, match="it ended"), reading(broken):
        pq.ParquetFile(broken)
    with pytest.raises(KeyError), reading(RemoteFile(_Kept(b""), "/a", 0, lambda: None)):  # type: ignore[arg-type]
        raise KeyError
