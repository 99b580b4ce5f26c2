"""Certificates for `localhost` and 127.0.0.1, valid for the length of a test run: self-made, or by an authority."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

__all__ = ["make", "signed"]

_HERE = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


def make(folder: Path) -> tuple[Path, Path]:
    """Writes `cert.pem` and `key.pem`."""
    key = _key()
    named = _about("localhost", key, "localhost").add_extension(x509.BasicConstraints(True, 0), critical=True)
    certificate = named.add_extension(x509.SubjectAlternativeName(_HERE), critical=False).sign(key, hashes.SHA256())
    return _written(folder / "cert.pem", [certificate]), _kept(folder / "key.pem", key)


def signed(folder: Path) -> tuple[Path, Path, Path]:
    """As a site with an authority of its own has it: writes `authority.pem`, and `site-cert.pem` and `site-key.pem`,
    which it has signed."""
    above, key = _key(), _key()
    authority = (
        _about("Tests' authority", above, "Tests' authority")
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .sign(above, hashes.SHA256())
    )
    certificate = (
        _about("localhost", key, "Tests' authority")
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_HERE), critical=False)
        .sign(above, hashes.SHA256())
    )
    return (
        _written(folder / "authority.pem", [authority]),
        _written(folder / "site-cert.pem", [certificate]),
        _kept(folder / "site-key.pem", key),
    )


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _about(name: str, key: rsa.RSAPrivateKey, issuer: str) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=7))
    )


def _written(path: Path, certificates: list[x509.Certificate]) -> Path:
    path.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates))
    return path


def _kept(path: Path, key: rsa.RSAPrivateKey) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return path
