"""C2 to C6 and C9 of the bad-input list, and the addresses that are never connected to. Each must be refused by name,
with nothing of the URL's secret parts in the error or its traceback.

    pytest tests/catalog/test_hostile_urls.py -s        prints `hostile: tried N, survived N`
"""

from __future__ import annotations

import base64
import socket
import traceback
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from workbench.catalog import Catalog, connectors
from workbench.contract.errors import InvalidParameter, UrlRefused
from workbench.contract.secret import Secret
from workbench.kit import hosts

CANARY = "k4n4ry/wört?#@"

# Parameter names that some driver somewhere takes for code or for a file.
PARAMETERS = """
    local_infile allow_local_infile allowLoadLocalInfile allowLocalInfile allowUrlInLocalInfile read_default_file
    read_default_group default_file unix_socket ssl_ca ssl_cert ssl_key ssl_capath ssl client_flag client_flags
    init_command sql_mode plugin_dir auth_plugin_map default_auth autoDeserialize queryInterceptors
    statementInterceptors socketFactory propertiesTransform conv cursorclass defer_connect authMechanismProperties
    tlsCAFile proxyHost INIT server_public_key bind_address program_name named_pipe use_unicode password2 PASSWORD
    host2 __class__ access_mode config custom_user_agent
"""


SCHEMES = [
    ("duckdb:///tmp/x.duckdb", "duckdb"),
    ("duckdb:///:memory:", "duckdb"),
    ("file:///etc/passwd", "file"),
    ("FILE://etc/passwd", "file"),
    ("sqlite:////etc/passwd", "sqlite"),
    ("gopher://h/1", "gopher"),
    ("ldap://h/x", "ldap"),
    ("http://h/x", "http"),
    ("jdbc:h2:mem:;INIT=RUNSCRIPT FROM 'http://h/x'", "jdbc"),
    ("jdbc:mysql://h/d?autoDeserialize=true", "jdbc"),
    ("toy+pymysql://h/d", "toy+pymysql"),
    ("toys://h/d", "toys"),
]

FORMS = [
    "", "toy", "//h/d", "toy:h/d", "toy:/h/d", " toy://h/d", "toy ://h/d", "tóy://h/d", "1toy://h/d", "://h",
    "toy://h/d#x", "toy://h/a/b", "toy://h/d?x", "toy://h/d?=1", "toy://h/d?tls=off&tls=off", "toy://h/d?tls=off;x=1",
    "toy://h/d?retries", "toy://h:0/d", "toy://h:65536/d", "toy://h:-1/d", "toy://h:/d", "toy://h:+1/d",
    "toy://h:１/d", "toy://h:3306x/d", "toy://a@b@h/d", "toy://::1/d", "toy://[::1/d", "toy://[::1]x/d",
    "toy://[h]/d", "toy://h,i/d", "toy://h%00/d", "toy://h%0a/d", "toy://h h/d", "toy://../d", "toy://-h/d",
    "toy://h/%zz", "toy://h/%ff", "toy://%/d", "toy://u%@h/d", "toy://h/d?tls=%", "toy://h\\x/d", "toy://h\n/d",
    "toy://h/d?host=x", "toy://h/d?user=x", "toy://h/d?port=1", "toy://h/d?database=x", "toy://h/d?tls=yes",
    "toy://h/d?compress=maybe", "toy://h/d?timeout=0", "toy://h/d?timeout=nan", "toy://h/d?timeout=1e5",
    "toy://h/d?retries=10", "toy://h/d?retries=1.0", "toy://h/d?retries= 1", "toy://h/d?retries=" + "9" * 5000,
    "toy://h/" + "x" * 9000, "toy://" + "a." * 200 + "b/d",
]  # fmt: skip

SECRETS = [
    f"toy://root:{quote(CANARY, safe='')}@h/d",
    f"toy://root:{CANARY}@h/d",
    f"toy://:{quote(CANARY, safe='')}@h/d",
    "toy://root:k4n4ry@h/d",
    "toy://root:k4n4ry/x@h/d",
    "toy://root:k4n4ry?x@h/d",
    "toy://root:?k4n4ry@h/d",
    "toy://root:/k4n4ry@h/d",
    "toy://root:k4n4ry#x@h/d",
    "toy://root:a@k4n4ry@h/d",
    "toy://root:k4n4ry",
    "toy:root:k4n4ry@h/d",
    "root:k4n4ry@h/d",
    "toy://h/d?password=k4n4ry",
    "toy://h/d?passphrase=k4n4ry",
    "toy://h/d?passwd=k4n4ry",
    "toy://h/d?tls=k4n4ry",
    "toy://h/d?retries=k4n4ry",
    "toy://h/d?compress=k4n4ry%zz",
    "mysql+pymysql://root:k4n4ry@h/d",
    "duckdb:///k4n4ry",
]

LINK_LOCAL = [
    "169.254.169.254", "169.254.0.1", "169.254.169.254.", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE",
    "025177524776", "0251.0376.0251.0376", "169.16689662", "169.254.43518", "169.0376.0xa9fe", "①⑥⑨.②⑤④.①⑥⑨.②⑤④",
    "１６９.２５４.１６９.２５４", "169。254。169。254", "169．254｡169．254", "%31%36%39.254.169.254",
    "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[::169.254.169.254]", "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]", "[fe80::1]", "[FE80::1%25eth0]", "[febf::1]", "[fd00:ec2::254]",
    "[fd00:0ec2:0:0:0:0:0:0254]", "[0:0:0:0:0:ffff:169.254.1.1]",
]  # fmt: skip

tally = {"tried": 0, "survived": 0}


@pytest.fixture(scope="module", autouse=True)
def printed() -> Iterator[None]:
    yield
    print(f"\nhostile: tried {tally['tried']}, survived {tally['survived']}")


def refused(catalog: Catalog, url: str) -> str:
    """The error's text; it, its causes and the variables of its frames hold no canary."""
    tally["tried"] += 1
    with pytest.raises((UrlRefused, InvalidParameter)) as caught:
        catalog.connect("hostile", url)
    error = caught.value
    shown = [str(error), repr(error), repr(error.__dict__)]
    assert error.__cause__ is None
    assert error.__context__ is None
    ours = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if "/workbench/" in frame.f_code.co_filename]
    assert ours
    shown += [repr(value) for frame in ours for value in frame.f_locals.values()]
    for text in shown:
        for form in ("k4n4ry", CANARY, quote(CANARY), base64.b64encode(CANARY.encode()).decode()):
            assert form not in text, text
    assert "hostile" not in catalog.names()
    assert len(str(error)) < 600
    tally["survived"] += 1
    return str(error)


@pytest.mark.parametrize("name", PARAMETERS.split())
def test_unknown_parameters_are_refused_by_name(catalog: Catalog, name: str) -> None:
    text = refused(catalog, f"toy://u@h/d?{name}=k4n4ry")
    assert f"`{name}`" in text
    assert "`tls`" in text, "the way out names what there is"
    with pytest.raises(InvalidParameter, match=f"`{name}`"):
        catalog.connect("hostile", "toy://u@h/d", parameters={name: "k4n4ry"})


@pytest.mark.parametrize(("url", "scheme"), SCHEMES)
def test_unknown_schemes_are_refused_by_name(catalog: Catalog, url: str, scheme: str) -> None:
    text = refused(catalog, url)
    assert f"`{scheme}`" in text
    assert "toy" in text
    assert "path=" in text


@pytest.mark.parametrize("url", FORMS, ids=lambda url: url[:40])
def test_malformed_urls(catalog: Catalog, url: str) -> None:
    refused(catalog, url)


@pytest.mark.parametrize("url", SECRETS)
def test_secrets_in_urls(catalog: Catalog, url: str) -> None:
    refused(catalog, url)


def test_the_password_in_a_url_has_a_way_out(catalog: Catalog) -> None:
    assert "env:NAME" in refused(catalog, SECRETS[0])


@pytest.mark.parametrize("host", LINK_LOCAL)
def test_link_local_addresses(catalog: Catalog, host: str) -> None:
    assert "link-local" in refused(catalog, f"toy://u@{host}/d")
    tally["tried"] += 1
    with pytest.raises((UrlRefused, InvalidParameter)):
        catalog.connect("hostile", connector="toy", parameters={"host": host.replace("%25", "%"), "user": "u"})
    tally["survived"] += 1


def test_names_that_lead_to_link_local_addresses(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: object, **_: object) -> list[tuple[object, ...]]:
        address = {"metadata.example": "169.254.169.254", "six.example": "fe80::1%eth0"}[host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert "link-local" in refused(catalog, "toy://u@metadata.example/d")
    assert "link-local" in refused(catalog, "toy://u@six.example/d")


def test_a_name_that_resolves_differently_later(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    address = ["192.0.2.1"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", (address[0], 0))])
    catalog.connect("moving", "toy://u@moving.example/d")
    catalog.open("moving")
    catalog.close()
    address[0] = "169.254.169.254"
    with pytest.raises(UrlRefused):
        catalog.open("moving")


@pytest.mark.parametrize(
    ("typed", "host"),
    [
        ("127.0.0.1", "127.0.0.1"), ("0", "0"), ("2130706433", "2130706433"), ("0x7f.1", "0x7f.1"),
        ("017700000001", "017700000001"), ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"), ("①②⑦.0.0.1", "127.0.0.1"),
        ("localhost.", "localhost."), ("DB.Example", "db.example"), ("bücher.example", "xn--bcher-kva.example"),
        ("[::1]", "::1"), ("10.0.0.8", "10.0.0.8"), ("db_1", "db_1"), ("169.253.255.255", "169.253.255.255"),
        ("169.254.example", "169.254.example"),
    ],
)  # fmt: skip
def test_other_hosts_are_allowed_and_kept_as_they_are_resolved(catalog: Catalog, typed: str, host: str) -> None:
    assert catalog.connect("fine", f"toy://u@{typed}:1/d").parameters["host"] == host


ODD = "a'b\"c@d:/?#%00\n"


@pytest.mark.parametrize("user", [ODD, "a\0b", "%", "+ +", "ü🦆", "\x1b[31m", "a" * 500, "${HOME}", "`x`", "\\"])
def test_odd_users_and_secrets_round_trip(catalog: Catalog, user: str) -> None:
    catalog.connect("odd", f"toy://{quote(user, safe='')}@h/{quote(user, safe='')}", secret=Secret(user))
    config = Catalog(catalog.home).config("odd")
    assert config.parameters["user"] == user
    assert config.parameters["database"] == user
    assert config.secrets["password"].reveal() == user
    assert repr(catalog.saved("odd")).isprintable()


def test_typed_parameters(catalog: Catalog) -> None:
    url = "toy://u@h/d?compress=on&timeout=2.5&retries=3&tls=required"
    parameters = catalog.connect("typed", url).parameters
    assert parameters == {
        "user": "u", "host": "h", "database": "d", "compress": True, "timeout": 2.5, "retries": 3, "tls": "required",
    }  # fmt: skip
    assert catalog.config("typed").parameters["port"] == 9999, "the schema's default"


def test_every_installed_connector_refuses_them() -> None:
    for manifest in connectors.manifests().values():
        for name in PARAMETERS.split():
            assert name not in manifest.parameters.get("properties", {}), f"{manifest.name} lets {name} through"
        assert manifest.parameters.get("additionalProperties") is False, manifest.name
        assert not {"file", "sqlite", "duckdb", "jdbc"} & set(manifest.schemes), manifest.name


def test_a_socket_is_checked_before_anything_is_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        hosts.check_peer(client)  # loopback is allowed
    assert hosts.metadata("169.254.169.254")
    assert not hosts.metadata("metadata.example")
