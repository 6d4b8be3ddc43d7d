"""Whose signature videos bear: certificates that the user has, or self-made ones kept for the user."""

import datetime
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..errors import UserError

CONFIG_VARIABLE = "HUNYUAN_PORTRAIT_CONFIG"
CERTIFICATE, KEY = "signing-certificate.pem", "signing-key.pem"
_NAME = "diffusers-hunyuan-portrait"
_VALID = datetime.timedelta(days=3650)
_CLOCKS_DIFFER = datetime.timedelta(hours=1)
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Signature:
    """What signs.

    Args:
        certificates: PEM, the signer's own first, then those that vouch for it.
        key: PEM, the signer's private key, without a password.
        algorithm: as C2PA names it, such as "es256".
    """

    certificates: bytes
    key: bytes
    algorithm: str


def signature_of_files(certificate: str | os.PathLike[str], key: str | os.PathLike[str]) -> Signature:
    """The signature of the user's own certificate.

    Args:
        certificate: PEM file, the signer's certificate first, then those that vouch for it.
        key: PEM file, its private key.

    Raises:
        UserError: a file cannot be read or used, has expired, or the two do not belong together.
    """
    certificates, private = _read(Path(certificate)), _read(Path(key))
    try:
        chain = x509.load_pem_x509_certificates(certificates)
    except ValueError as error:
        raise UserError(f"{certificate} holds no certificate in PEM ({error}).") from error
    try:
        loaded = serialization.load_pem_private_key(private, password=None)
    except (ValueError, TypeError) as error:
        raise UserError(f"{key} holds no private key in PEM that can be used without a password.") from error
    if chain[0].public_key() != loaded.public_key():
        raise UserError(f"The key in {key} is not that of the first certificate in {certificate}.")
    now = datetime.datetime.now(datetime.timezone.utc)
    if not chain[0].not_valid_before_utc <= now <= chain[0].not_valid_after_utc:
        raise UserError(
            f"The certificate in {certificate} is valid from {chain[0].not_valid_before_utc:%Y-%m-%d} to "
            f"{chain[0].not_valid_after_utc:%Y-%m-%d}, so it cannot sign now."
        )
    return Signature(certificates, private, _algorithm(loaded, key))


def signature_of_user(folder: Path | None = None) -> Signature:
    """The user's self-made signature, made where the folder has none, or none that is still valid.

    The folder is the one for this program's settings, or what HUNYUAN_PORTRAIT_CONFIG names.

    The key is readable by the user alone. Its certificate is vouched for by one that is made with it, whose own
    key is thrown away, so that nobody can sign under another name by it.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = folder or Path(os.environ.get(CONFIG_VARIABLE) or typer.get_app_dir("hunyuan-portrait"))
    certificate, key = folder / CERTIFICATE, folder / KEY
    if certificate.is_file() and key.is_file():
        try:
            return signature_of_files(certificate, key)
        except UserError:
            pass  # damaged, expired, or half of each: made anew below
    made = _make()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The key first: a certificate without its key would be made anew, a key without its certificate too.
        _write(key, made.key)
        _write(certificate, made.certificates)
    except OSError as error:
        raise UserError(f"No signature can be kept in {folder}: {error.strerror}.") from error
    return made


def _make() -> Signature:
    voucher_key, signer_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    voucher = _certificate(f"{_NAME}, self-made", voucher_key, voucher_key, f"{_NAME}, self-made", vouches=True)
    signer = _certificate(f"A user of {_NAME}", signer_key, voucher_key, f"{_NAME}, self-made", vouches=False)
    pem = serialization.Encoding.PEM
    key = signer_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Signature(signer.public_bytes(pem) + voucher.public_bytes(pem), key, "es256")


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    voucher_key: ec.EllipticCurvePrivateKey,
    voucher: str,
    *,
    vouches: bool,
) -> x509.Certificate:
    """As C2PA asks for it (specification 2.2, section 14.5)."""
    now = datetime.datetime.now(datetime.timezone.utc)
    usage = x509.KeyUsage(
        digital_signature=not vouches,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=vouches,
        crl_sign=vouches,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(_distinguished(name))
        .issuer_name(_distinguished(voucher))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=vouches, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(voucher_key.public_key()), critical=False
        )
    )
    if not vouches:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
    return builder.sign(voucher_key, hashes.SHA256())


def _distinguished(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _NAME),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _algorithm(key: object, path: str | os.PathLike[str]) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise UserError(f"The key in {path} is of a kind that content credentials do not have; use ES256, say.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _write(path: Path, content: bytes) -> None:
    """Whole, and readable by the user alone from its first byte on, as `mkstemp` makes files."""
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(unfinished).replace(path)
    finally:
        Path(unfinished).unlink(missing_ok=True)
