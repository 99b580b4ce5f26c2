"""E of the hostile list: what other sites, strangers and broken clients send, over a real socket to a real server.

    pytest tests/server/test_hostile.py -s        prints `hostile: tried N, survived N`

After every attempt the server answers its owner, and neither token nor canary is in what it said or logged.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.server.served import API, Reply, Served, served
from workbench.server.app import routes
from workbench.server.bodies import DEEPEST, LARGEST

CANARY = "canary-8d1f02"
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PLACES = [re.sub(r"\{\w+\}", "x", f"/{path}") for path, _ in routes()]
EVERYWHERE = [(verb, place) for place in PLACES for verb in VERBS]
CHANGES = [("POST", "/connections"), ("POST", "/connectors/test"), ("PUT", "/connections/x"),
           ("DELETE", "/connections/x"), ("POST", "/connections/x/test"), ("POST", "/catalog/x/refresh"),
           ("DELETE", "/runs/x")]  # fmt: skip
READS = [place for place in PLACES if place != "/live"]
GOOD = {"name": "evil", "connector": "files", "parameters": {"path": "/tmp"}}


class Fence:
    """One server, and the count of what was tried on it."""

    def __init__(self, server: Served) -> None:
        self.server = server
        self.tried = self.survived = 0

    def survives(self, *replies: Reply) -> None:
        for reply in replies:
            said = reply.body.decode("utf-8", "replace") + str(reply.headers)
            assert self.server.token not in said
            assert CANARY not in said
            assert "Traceback" not in said
            assert reply.headers.get("X-Content-Type-Options") == "nosniff"
        assert self.server.ask("GET", "/connections").ok() == {"connections": []}
        self.survived += 1


@pytest.fixture(scope="module")
def fence(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Fence]:
    with served(tmp_path_factory.mktemp("fence")) as server:
        fence = Fence(server)
        yield fence
        log = server.log()
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nhostile: tried {fence.tried}, survived {fence.survived}")
    # E6: whatever was asked above, with the token in its address too
    assert server.token not in log
    assert CANARY not in log
    assert "Traceback" not in log


@pytest.fixture(autouse=True)
def counted(fence: Fence) -> None:
    fence.tried += 1


@pytest.mark.parametrize(("verb", "place"), EVERYWHERE)
def test_e1_a_stranger_gets_nowhere(verb: str, place: str, fence: Fence) -> None:
    body = json.dumps(GOOD).encode() if verb in ("POST", "PUT", "PATCH") else None
    plain = fence.server.ask(verb, place, raw=body, headers={"Content-Type": "application/json"})
    wrong = fence.server.ask(verb, place, raw=body, headers={"Authorization": "token x"})
    assert {plain.status, wrong.status} <= ({401, 403} if (verb, place) != ("HEAD", "/live") else {405})
    fence.survives()


@pytest.mark.parametrize(("verb", "place"), CHANGES)
@pytest.mark.parametrize("token", [None, "", "x", "2|00000000|00|0"])
def test_e2_no_change_without_the_xsrf_token(verb: str, place: str, token: str | None, fence: Fence) -> None:
    headers = fence.server.browser()
    del headers["X-XSRFToken"]
    if token is not None:
        headers["X-XSRFToken"] = token
    reply = fence.server.ask(verb, place, raw=json.dumps(GOOD).encode(), headers=headers)
    assert reply.status == 403
    fence.survives(reply)


def test_e2_the_cookie_with_the_xsrf_token_may(fence: Fence) -> None:
    """Else the refusals above would say nothing."""
    server = fence.server
    made = server.ask("POST", "/connections", raw=json.dumps(GOOD).encode(), headers=server.browser())
    assert made.status == 201
    assert server.ask("DELETE", "/connections/evil", headers=server.browser()).status == 204
    fence.survives(made)


def foreign(port: int) -> dict[str, dict[str, str]]:
    """Headers by which a browser says that the page is another one's."""
    origins = ["http://evil.example", "null", f"http://127.0.0.1.evil.example:{port}", f"http://127.0.0.1:{port}.evil",
               f"http://evil@127.0.0.1:{port}", "http://127.0.0.1", f"http://127.0.0.1:{port + 1}", "file://",
               f"javascript://127.0.0.1:{port}", f"http://localhost:{port}", "", "http://[", "x" * 4_096]  # fmt: skip
    said = {f"origin {origin[:40]}": {"Origin": origin} for origin in origins}
    said["no-cors"] = {"Sec-Fetch-Mode": "no-cors"}
    said["cross-site"] = {"Sec-Fetch-Site": "cross-site"}
    said["same-site"] = {"Sec-Fetch-Site": "same-site"}
    return said


@pytest.mark.parametrize("name", foreign(1))
@pytest.mark.parametrize(("verb", "place"), [("GET", "/connections"), ("POST", "/connections"), ("GET", "/live")])
def test_e3_another_sites_page_gets_nothing(verb: str, place: str, name: str, fence: Fence) -> None:
    headers = fence.server.browser()
    del headers["Origin"]
    number = list(foreign(1)).index(name)
    headers |= list(foreign(fence.server.port).values())[number]
    if place == "/live":
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}  # fmt: skip
    reply = fence.server.ask(verb, place, raw=json.dumps(GOOD).encode() if verb == "POST" else None, headers=headers)
    assert reply.status in (403, 404), reply.body
    assert "Access-Control-Allow-Origin" not in reply.headers
    fence.survives(*([] if place == "/live" else [reply]))


PATHS = ["../x", "..%2fx", "%2e%2e%2fx", "..%252fx", "%00", "a%00b", "%0d%0aX-Evil:%201", "C:%5c",
         "%5c%5chost%5cx", ".hidden", "%2froot", "~", "a" * 4_096, "%ff%fe", "%F0%9F%98%80", "%3Cscript%3E",
         "%7B%7B7*7%7D%7D", "main", "x;y", "*", "con", "..;%2fx"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("place", ["/connections/{}", "/catalog/{}/tables", "/catalog/{}/schemas", "/runs/{}"])
def test_e5_a_path_leads_nowhere_else(path: str, place: str, fence: Fence) -> None:
    secret = fence.server.home / "documents" / "x.json"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text(json.dumps({"x": CANARY}))
    reply = fence.server.ask("GET", place.format(path))
    assert reply.status in (400, 404, 422), reply.body
    assert "X-Evil" not in reply.headers
    fence.survives(*([] if ".." in path else [reply]))


@pytest.mark.parametrize("place", [*READS, "/nothing", "/connections/x%00"])
def test_e6_a_token_in_an_address_is_not_logged(place: str, fence: Fence) -> None:
    """The log itself is looked at when all is over."""
    for headers in ({}, {"Referer": f"http://127.0.0.1:{fence.server.port}/lab?token={fence.server.token}"}):
        reply = fence.server.ask("GET", place, query={"token": fence.server.token}, headers=headers)
        assert fence.server.token not in reply.body.decode("utf-8", "replace")
    fence.survives()


def deep(sign: str, levels: int) -> bytes:
    return (sign * levels).encode()


BODIES: dict[str, bytes] = {
    "nothing": b"", "blank": b" ", "half": b'{"name": "x"', "word": b"hello", "single quotes": b"{'name': 'x'}",
    "two": b"{}{}", "comma": b'{"name": "x",}', "comment": b'{} // x', "bom": b"\xef\xbb\xbf{}",
    "utf-16": '{"name": "x"}'.encode("utf-16"), "no utf-8": b'{"name": "\xff\xfe"}', "nul": b"\0",
    "array": b"[]", "number": b"7", "null": b"null", "text": b'"x"', "true": b"true",
    "deep arrays": deep("[", 100_000), "deep objects": deep('{"a":', 40_000),
    "closed and deep": b"[" * 5_000 + b"]" * 5_000,
    "a little too deep": b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
    "twice": b'{"name": "x", "name": "y", "connector": "files", "parameters": {}}',
    "twice within": b'{"name": "x", "connector": "files", "parameters": {"path": "/", "path": "/tmp"}}',
    "NaN": b'{"name": "x", "connector": "files", "parameters": {"a": NaN}}',
    "infinity": b'{"name": "x", "connector": "files", "parameters": {"a": -Infinity}}',
    "too large a number": b'{"name": "x", "connector": "mysql", "parameters": {"host": "h", "port": 1e999}}',
    "digits": b'{"a": ' + b"9" * 100_000 + b"}",
    "surrogate": b'{"name": "x", "connector": "files", "parameters": {"path": "\\ud800"}}',
    "surrogate secret": b'{"name": "x", "connector": "mysql", "parameters": {"host": "127.0.0.1"}, '
                        b'"secrets": {"password": "\\udfff"}}',
    "nul in a path": b'{"name": "x", "connector": "files", "parameters": {"path": "/tmp/\\u0000"}}',
    "prototype": b'{"__proto__": {"a": 1}, "name": "x", "connector": "files", "parameters": {}}',
    "more": b'{"name": "x", "connector": "files", "parameters": {"path": "/tmp"}, "admin": true}',
    "wrong types": b'{"name": 7, "connector": [], "parameters": "x"}',
    "secret no text": b'{"name": "x", "connector": "mysql", "parameters": {"host": "h"}, "secrets": {"password": 7}}',
    "secret among parameters": b'{"name": "x", "connector": "mysql", "parameters": {"host":"h", "password": "CANARY"}}',
    "secret unknown": b'{"name": "x", "connector": "mysql", "parameters": {"host": "h"}, "secrets": {"CANARY": "p"}}',
    "parameter unknown": b'{"name": "x", "connector": "mysql", "parameters": {"host": "h", "local_infile": true}}',
    "connector unknown": b'{"name": "x", "connector": "../mysql", "parameters": {"host": "h"}}',
    "name with markup": b'{"name": "<script>alert(1)</script>", "connector": "files", "parameters": {"path": "/tmp"}}',
    "name of a schema": b'{"name": "main", "connector": "files", "parameters": {"path": "/tmp"}}',
    "too long a name": b'{"name": "' + b"x" * 100_000 + b'", "connector": "files", "parameters": {"path": "/tmp"}}',
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    ("verb", "place"), [("POST", "/connections"), ("POST", "/connectors/test"), ("PUT", "/connections/x")]
)
def test_e7_a_broken_body_is_refused(verb: str, place: str, name: str, fence: Fence) -> None:
    reply = fence.server.ask(verb, place, raw=BODIES[name].replace(b"CANARY", CANARY.encode()))
    assert 400 <= reply.status < 500, reply.body
    assert isinstance(reply.json["message"], str)
    fence.survives(reply)


@pytest.mark.parametrize("chunked", [False, True])
def test_e7_a_hundred_megabytes_are_not_taken_in(chunked: bool, fence: Fence) -> None:
    server, whole = fence.server, 100 << 20
    before = resident(server.pid)
    how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {whole}"
    lines = [f"POST {API}/connections HTTP/1.1", f"Host: 127.0.0.1:{server.port}",
             f"Authorization: token {server.token}", "Content-Type: application/json", how, "", ""]  # fmt: skip
    sent, piece = 0, b"x" * (1 << 16)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as link:
        link.sendall("\r\n".join(lines).encode())
        try:
            while sent < whole:
                link.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                sent += len(piece)
            answer = link.recv(1 << 16)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
    assert not answer or answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400")), answer
    assert resident(server.pid) - before < 30 << 20
    fence.survives()


def test_e7_one_byte_too_many_is_said(fence: Fence) -> None:
    raw = b'{"name": "' + b"x" * LARGEST + b'"}'
    reply = fence.server.ask("POST", "/connections", raw=raw)
    assert reply.status in (400, 413)
    fence.survives()


HOSTS = ["evil.example", "127.0.0.1.evil.example", "evil.example:{port}", "localhost.evil.example:{port}",
         "127.0.0.1@evil", "<script>", "0x7f.1.evil"]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_e8_a_foreign_host_is_refused_and_in_no_answer(host: str, fence: Fence) -> None:
    headers = fence.server.browser(Host=host.format(port=fence.server.port))
    del headers["Origin"]
    reply = fence.server.ask("GET", "/connections", headers=headers)
    assert reply.status in (400, 403)
    assert host.encode() not in reply.body
    fence.survives(*([reply] if reply.body else []))


OVERRIDES: list[dict[str, str]] = [
    {name: "DELETE"} for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
]


@pytest.mark.parametrize("number", range(len(OVERRIDES)))
def test_e9_a_header_does_not_change_the_verb(number: int, fence: Fence) -> None:
    server = fence.server
    assert server.ask("POST", "/connections", GOOD).status == 201
    reply = server.ask(
        "GET", "/connections/evil", query={"_method": "DELETE"}, headers=server.browser(**OVERRIDES[number])
    )
    assert server.ask("DELETE", "/connections/evil").status == 204  # it was there still
    fence.survives(reply)


KINDS = ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json",
         "application/json-patch+json", "application/jsonx", "text/plain; application/json"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("verb", "place"), [("POST", "/connections"), ("PUT", "/connections/x"), ("POST", "/connectors/test")]
)
def test_e9_only_json_is_read(kind: str, verb: str, place: str, fence: Fence) -> None:
    """A form of another site can send these without asking the browser's leave."""
    headers = fence.server.browser() | {"Content-Type": kind}
    reply = fence.server.ask(verb, place, raw=json.dumps(GOOD).encode(), headers=headers)
    assert reply.status in (400, 415)
    fence.survives(reply)


SCRIPT = "%3Cscript%3Ealert(1)%3C%2Fscript%3E"


SCRIPTED = [f"/{SCRIPT}", f"/connections/{SCRIPT}", f"/catalog/{SCRIPT}/tables", f"/runs/{SCRIPT}",
            f"/catalog/x/tables?limit={SCRIPT}", f"/history?limit={SCRIPT}"]  # fmt: skip


@pytest.mark.parametrize("place", SCRIPTED)
def test_e10_no_error_is_a_page_with_a_script(place: str, fence: Fence) -> None:
    reply = fence.server.ask("GET", place)
    assert 400 <= reply.status < 500
    assert reply.headers["Content-Type"].startswith("application/json")
    fence.survives(reply)


@pytest.mark.parametrize("place", READS)
def test_e12_every_answer_says_how_it_may_be_used(place: str, fence: Fence) -> None:
    headers = fence.server.ask("GET", place).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors" in policy
    assert headers["Content-Type"].startswith("text/plain; version=" if place == "/metrics" else "application/json")
    fence.survives()


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024  # type: ignore[index]
