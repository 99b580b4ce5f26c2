"""What is posted to a topology: a real server on loopback, asked over plain HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from workbench.contract.errors import DocumentError, InvalidParameter, SecretMissing
from workbench.contract.secret import Secret
from workbench.streams import Bolt, Topology, Webhook, webhook
from workbench.streams.running import Running

Start = Callable[..., Running]
WAIT = 60
KEY = "geheim-7"
KNOWN = {"Authorization": f"Bearer {KEY}"}


class Posting:
    """A topology with a webhook, and whoever posts to it."""

    def __init__(self, started: Start, eventually: Any, work: Any = None, config: Any = None, **options: Any) -> None:
        self.rows: list[Any] = []
        options = {"secret": Secret(KEY), "path": "/orders", **options}
        t = Topology("hook", **{"retry_backoff": 0.01, "max_retries": 1, **(config or {})})
        t.spout("in", Webhook(**options)).bolt("out", work or (lambda row: self.rows.append(tuple(row))), inputs="in")
        self.running = started(t)
        self.port = int(eventually(lambda: self.counts()["port"], within=WAIT))

    def counts(self) -> dict[str, float]:
        return dict(next(iter(self.running.metrics().now.sources.values()), {"port": 0}))

    def post(
        self, body: Any, headers: Any = KNOWN, path: str = "/orders", verb: str = "POST"
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        try:
            connection.request(verb, path, body if isinstance(body, bytes | None) else json.dumps(body), headers)
            answer = connection.getresponse()
            self.headers = answer.headers
            return answer.status, json.loads(answer.read() or "{}")
        finally:
            connection.close()


@pytest.fixture
def posting(started: Start, eventually: Any) -> Callable[..., Posting]:
    return lambda *args, **options: Posting(started, eventually, *args, **options)


def test_rows_are_queued_and_come(posting: Callable[..., Posting], eventually: Any) -> None:
    site = posting(fields=("id", "total"))
    assert site.post({"id": 1, "total": 2.5, "more": 0}) == (202, {"message": "queued"})
    assert site.post([{"id": 2}, [3, 4]])[0] == 202
    eventually(lambda: site.rows == [(1, 2.5), (2, None), (3, 4)], within=WAIT)
    assert site.running.metrics().count("acked", "in") == 3
    assert any(f"http://127.0.0.1:{site.port}/orders" in line for line in site.running.log)
    assert KEY not in repr(site.running) + "".join(site.running.log) + site.running.metrics().prometheus()
    assert site.counts()["received"] == 2


def test_the_whole_body_is_one_field(posting: Callable[..., Posting], eventually: Any) -> None:
    site = posting(parse="text")
    site.post("zwei é".encode())
    eventually(lambda: site.rows == [("zwei é",)], within=WAIT)
    other = posting()
    other.post([1, None])
    eventually(lambda: other.rows == [([1, None],)], within=WAIT)


def test_an_answer_when_all_is_done(posting: Callable[..., Posting]) -> None:
    done: list[int] = []

    class Twice(Bolt):
        def execute(self, tuple: Any) -> None:  # noqa: A002
            done.append(tuple.id)
            if tuple.id == 13 or (tuple.id == 7 and done.count(7) == 1):
                raise ValueError(tuple.id)

    site = posting(Twice, fields=("id",), reply="acked")
    assert site.post([{"id": 1}, {"id": 7}]) == (200, {"message": "acked"})
    assert done == [1, 7, 7]
    assert site.post([{"id": 2}, {"id": 13}]) == (500, {"message": "1 rows were given up"})
    assert [letter.row for letter in site.running.dead_letters] == [(13,)]


def test_what_takes_too_long_is_said_and_done_later(posting: Callable[..., Posting], eventually: Any) -> None:
    go = threading.Event()
    seen: list[int] = []

    def slow(row: Any) -> None:
        go.wait(WAIT)
        seen.append(row.body)

    site = posting(slow, reply="acked", wait="50ms")
    assert site.post(1)[0] == 504
    go.set()
    eventually(lambda: seen == [1], within=WAIT)


def test_without_acking_the_answer_is_given_when_it_is_emitted(posting: Callable[..., Posting]) -> None:
    assert posting(config={"acking": False}, reply="acked").post(1)[0] == 200


def test_who_waits_is_told_of_a_stop(posting: Callable[..., Posting], eventually: Any) -> None:
    site = posting(reply="acked")
    site.running.pause()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(site.post, 1)
        eventually(lambda: site.counts()["queued"] == 1, within=WAIT)
        site.running.stop()
        assert answer.result(WAIT)[0] == 503
    with pytest.raises(OSError, match="refused"):
        site.post(1)


def test_a_full_queue_takes_all_of_a_body_or_nothing(posting: Callable[..., Posting], eventually: Any) -> None:
    site = posting(queue=3)
    site.running.pause()
    eventually(lambda: site.running.state == "paused", within=WAIT)
    assert [site.post(number)[0] for number in range(2)] == [202, 202]
    listed = posting(queue=3, fields=("id",))
    listed.running.pause()
    eventually(lambda: listed.running.state == "paused", within=WAIT)
    assert listed.post([{"id": 0}, {"id": 1}])[0] == 202
    assert listed.post([{"id": 2}, {"id": 3}]) == (429, {"message": "the queue is full"})
    assert listed.headers["Retry-After"] == "1"
    assert listed.post([{"id": number} for number in range(4)])[0] == 413
    assert listed.counts()["full"] == 1
    listed.running.resume()
    eventually(lambda: listed.rows == [(0,), (1,)], within=WAIT)


def sign(body: bytes, key: str = KEY) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}


def test_who_signs_the_body_is_known(posting: Callable[..., Posting], eventually: Any) -> None:
    site = posting(signed=True)
    assert site.post(b"1", sign(b"1"))[0] == 202
    assert site.post(b"2", sign(b"1"))[0] == 401
    assert site.post(b"2", sign(b"2", "other"))[0] == 401
    assert site.post(b"2", KNOWN)[0] == 401
    assert site.post(b"2", {"X-Hub-Signature-256": "é"})[0] == 401
    either = posting()
    assert either.post(b"3", sign(b"3"))[0] == 202
    assert either.post(b"3", {**KNOWN, **sign(b"4")})[0] == 401  # a signature that is wrong is no matter of taste
    eventually(lambda: site.rows == [(1,)], within=WAIT)
    assert site.counts()["refused"] == 4


@pytest.mark.parametrize(
    ("headers", "path", "verb", "status"),
    [
        ({}, "/orders", "POST", 401),
        ({"Authorization": "Bearer other"}, "/orders", "POST", 401),
        ({"Authorization": f"Basic {KEY}"}, "/orders", "POST", 401),
        ({"Authorization": "Bearer"}, "/orders", "POST", 401),
        (KNOWN, "/", "POST", 404),
        (KNOWN, "/orders/", "POST", 404),
        (KNOWN, "/orders", "PUT", 405),
        (KNOWN, "/orders", "GET", 405),
        ({**KNOWN, "Host": "evil.example"}, "/orders", "POST", 403),
        ({**KNOWN, "Host": ""}, "/orders", "POST", 403),
        ({**KNOWN, "Origin": "http://127.0.0.1"}, "/orders", "POST", 403),
    ],
)
def test_who_is_not_known_is_refused(
    posting: Callable[..., Posting], headers: dict[str, str], path: str, verb: str, status: int
) -> None:
    site = posting()
    assert site.post(b"1", headers, path, verb)[0] == status
    assert site.counts()["refused"] == 1
    assert site.post(b"1")[0] == 202


def test_bad_bodies_are_said_and_change_nothing(posting: Callable[..., Posting], eventually: Any) -> None:
    site = posting(fields=("id",), largest=100)
    for body in (b'{"id": NaN}', b'{"id": 1e999}', b'{"id": "\\ud800"}'):
        assert site.post(body)[0] == 400, body
    assert site.post(b'{"id": "\\ud83d\\ude00"}')[0] == 202
    eventually(lambda: site.rows == [("😀",)], within=WAIT)
    for body in (b"{", b"", b"\xff", b"[" * 100, b"7", b"[[1, 2]]", b'"x"', b"9" * 99):
        assert site.post(body)[0] == 400, body
    assert site.post(b"[" + b" " * 100 + b"]")[0] in (400, 413)
    assert site.post({"id": 1})[0] == 202
    eventually(lambda: site.rows[1:] == [(1,)], within=WAIT)
    assert site.counts()["unreadable"] == 11


def test_a_body_without_end_is_not_taken_in(posting: Callable[..., Posting], eventually: Any) -> None:
    """In one piece, and in pieces whose sum nobody has said."""
    site = posting(largest=1_000)
    head = f"POST /orders HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nAuthorization: Bearer {KEY}\r\n"
    for how, piece in (
        (f"Content-Length: {1 << 30}\r\n\r\n", b"x" * 65536),
        ("Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    ):
        with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as plain:
            plain.sendall((head + how).encode())
            with pytest.raises(OSError, match=r"reset|pipe|abort"):
                all(plain.sendall(piece) is None for _ in range(1 << 10))  # 64 MiB: more than lies in the sockets
    assert site.post(1)[0] == 202
    eventually(lambda: site.rows == [(1,)], within=WAIT)


def test_so_many_wait_at_most(posting: Callable[..., Posting], eventually: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("workbench.streams.webhook.AT_ONCE", 2)
    site = posting(reply="acked")
    site.running.pause()
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(site.post, number) for number in range(2)]
        eventually(lambda: site.counts()["queued"] == 2, within=WAIT)
        assert site.post(2)[0] == 503
        site.running.resume()
        assert [one.result(WAIT)[0] for one in waiting] == [200, 200]


def test_strangers_keep_nobody_out_who_has_the_secret(
    posting: Callable[..., Posting], eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say that they sign a body, and send none."""
    monkeypatch.setattr("workbench.streams.webhook_handler.UNKNOWN_SECONDS", 0.5)
    site = posting()
    head = f"POST /orders HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nX-Hub-Signature-256: sha256=00\r\n"
    links = []
    try:
        for _ in range(100):
            links.append(socket.create_connection(("127.0.0.1", site.port), timeout=WAIT))
            links[-1].sendall(f"{head}Content-Length: 10\r\n\r\n".encode())
        assert site.post(1)[0] == 202
        eventually(lambda: site.counts()["refused"] >= 16, within=WAIT)
        eventually(lambda: site.post(b"2", sign(b"2"))[0] == 202, within=WAIT)  # their time is over
    finally:
        for link in links:
            link.close()


def test_connections_that_say_nothing_are_bounded(
    posting: Callable[..., Posting], eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "CONNECTIONS", 5)
    site = posting()
    links = [socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) for _ in range(9)]
    closed = [link for link in links[5:] if link.recv(1) == b""]
    assert len(closed) == 4, "the others are waited for"
    for link in links:
        link.close()

    def goes_on() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return site.post({"n": 1})[0] == 202
        return False

    eventually(goes_on, within=60)


def test_a_port_that_is_taken_fails_the_run(started: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        t = Topology("taken").spout("in", Webhook(taken.getsockname()[1], secret=Secret(KEY)))
        t.bolt("out", print, inputs="in")
        with pytest.raises(InvalidParameter, match="cannot be had"):
            started(t).wait(WAIT)


def test_the_secret_is_in_no_document(started: Start, monkeypatch: pytest.MonkeyPatch, posting: Any) -> None:
    for options, said in (
        ({"secret": KEY}, "`secret` is `env:NAME`"),
        ({"secret": Secret(KEY), "path": "orders"}, "path"),
        ({"secret": Secret(KEY), "path": "/a?b"}, "path"),
        ({"secret": Secret(KEY), "reply": "maybe"}, "reply"),
        ({"secret": Secret(KEY), "port": 70_000}, "port"),
    ):
        with pytest.raises(InvalidParameter, match=said) as caught:
            Webhook(**options)
        assert KEY not in str(caught.value)
    monkeypatch.setenv("HOOK_KEY", KEY)
    document = Topology("kept").spout("in", Webhook(secret="env:HOOK_KEY")).to_document()
    assert document["components"]["in"]["arguments"] == [[], {"secret": "env:HOOK_KEY"}]
    with pytest.raises(DocumentError):
        Topology("kept").spout("in", Webhook(secret=Secret(KEY))).to_document()
    assert posting(secret="env:HOOK_KEY").post(1)[0] == 202
    monkeypatch.delenv("HOOK_KEY")
    t = Topology("unknown").spout("in", Webhook(secret="env:HOOK_KEY")).bolt("out", print, inputs="in")
    with pytest.raises(SecretMissing, match="HOOK_KEY"):
        started(t)
