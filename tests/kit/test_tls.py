"""What `tls` and `ca_file` of a connection come to; connectors' own tests encrypt by it against real servers."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.services import certificate
from workbench.contract.errors import InvalidParameter
from workbench.kit.tls import Encryption


def test_nothing_is_encrypted_or_verified_unless_it_is_asked_for() -> None:
    assert Encryption.asked({}).kind == "disabled"
    assert Encryption.asked({}, "preferred").context().verify_mode == ssl.CERT_NONE
    assert Encryption.asked({"tls": "required"}).context().verify_mode == ssl.CERT_NONE
    verified = Encryption.asked({"tls": "verify"}).context()
    assert (verified.verify_mode, verified.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_an_authority_of_ones_own_is_trusted_alone(tmp_path: Path) -> None:
    made, _ = certificate.make(tmp_path)
    context = Encryption.asked({"tls": "verify", "ca_file": str(made)}).context()
    assert len(context.get_ca_certs()) == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("tls", ["disabled", "preferred", "required"])
def test_an_authority_that_nobody_would_look_at_is_refused(tmp_path: Path, tls: str) -> None:
    made, _ = certificate.make(tmp_path)
    given = {"tls": tls, "ca_file": str(made)}
    with pytest.raises(InvalidParameter, match="tls=verify"):
        Encryption.asked(given)
    assert len(Encryption.asked(given, also=True).verifying().get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("content", "why"), [(None, "no such file"), ("", "no certificate"), ("x" * 99, "no certificate")]
)
def test_a_file_that_is_not_there_or_holds_none_is_named(tmp_path: Path, content: str | None, why: str) -> None:
    path = tmp_path / "own.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidParameter, match=f"own.pem.*{why}"):
        Encryption.asked({"tls": "verify", "ca_file": str(path)})
