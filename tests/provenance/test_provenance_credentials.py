"""Credentials in every file that carries them, as c2pa-python's own reader sees them, and in changed files."""

import datetime
import hashlib
import json
import stat

import av
import c2pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from media_clips import moving_frames
from PIL import Image

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.provenance import (
    MADE_BY_MODEL,
    PASTED_BACK,
    Claim,
    seal,
    signature_of_files,
    signature_of_user,
    verify,
)
from diffusers_hunyuan_portrait.provenance.certificates import CERTIFICATE, KEY

VIDEOS = [
    (codec, suffix)
    for codec, facts in media.CODECS.items()
    for suffix in facts.suffixes
    if suffix in (".mp4", ".m4v", ".mov", ".gif", ".webp")
]


@pytest.fixture(scope="module")
def signature(tmp_path_factory):
    return signature_of_user(tmp_path_factory.mktemp("config") / "hunyuan-portrait")


@pytest.fixture
def portrait(tmp_path):
    path = tmp_path / "somebody i know.png"
    Image.fromarray(next(moving_frames(1))).save(path)
    return path


@pytest.fixture
def write(tmp_path, signature, portrait):
    """A signed video."""

    def make(codec="h264", suffix=".mp4", source_type=PASTED_BACK):
        path = tmp_path / f"out{suffix}"
        with media.VideoWriter(path, frame_rate=25, codec=codec) as writer:
            for frame in moving_frames(12):
                writer.write(frame)
        seal(path, Claim(source_type, "drawn-faces", "mtcnn", portrait), signature)
        return path

    return make


@pytest.mark.parametrize(("codec", "suffix"), VIDEOS)
def test_every_codec_and_container_that_carries_them(write, signature, tmp_path, codec, suffix):
    path = write(codec, suffix)
    reader = c2pa.Reader(str(path))
    assert reader.get_validation_state() == "Valid"
    manifest = reader.get_active_manifest()
    assert manifest["title"] == path.name
    [action] = next(entry for entry in manifest["assertions"] if "actions" in entry["label"])["data"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert (action["parameters"]["model"], action["parameters"]["faceDetector"]) == ("drawn-faces", "mtcnn")
    if suffix != ".webp":  # which FFmpeg cannot read
        assert media.open_frames(path).frame_count == 12
    assert [file for file in tmp_path.iterdir() if "signed" in file.name] == []
    verdict = verify(path)
    assert (verdict.is_signed, verdict.is_unchanged, verdict.is_trusted) == (True, True, False)
    (tmp_path / "trusted.pem").write_bytes(signature.certificates)
    assert verify(path, tmp_path / "trusted.pem").is_trusted


def test_the_square_alone_is_made_by_the_model(write):
    [action] = verify(write(source_type=MADE_BY_MODEL)).actions
    assert action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")


def test_the_portrait_is_told_by_its_hash_and_nothing_else_of_it(write, portrait):
    path = write()
    [ingredient] = c2pa.Reader(str(path)).get_active_manifest()["ingredients"]
    assert ingredient["relationship"] == "inputTo"
    assert ingredient["instance_id"] == f"sha256:{hashlib.sha256(portrait.read_bytes()).hexdigest()}"
    assert "thumbnail" not in ingredient
    content = path.read_bytes()
    assert b"somebody" not in content
    assert b"jpeg" not in content


@pytest.mark.parametrize(
    ("codec", "suffix"), [("h264", ".mp4"), ("prores", ".mov"), ("gif", ".gif"), ("webp", ".webp")]
)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_flipped_byte_is_found(write, codec, suffix, share):
    path = write(codec, suffix)
    data = bytearray(path.read_bytes())
    # Among the pictures: WebP has its credentials at its end, the others at their beginning.
    place = round(len(data) * (share if suffix != ".webp" else 0.3 * share))
    data[place] ^= 1
    path.write_bytes(data)
    verdict = verify(path)
    assert (verdict.is_signed, verdict.is_unchanged, verdict.is_trusted) == (True, False, False)
    assert c2pa.Reader(str(path)).get_validation_state() == "Invalid"


def test_what_is_put_into_another_container_is_unsigned_or_changed(write, tmp_path):
    source = write()
    for suffix in (".mp4", ".mov", ".mkv"):
        other = tmp_path / f"muxed{suffix}"
        with av.open(str(source)) as taken, av.open(str(other), "w") as given:
            stream = given.add_stream_from_template(taken.streams.video[0])
            for packet in taken.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    given.mux(packet)
        verdict = verify(other)
        assert not (verdict.is_signed and verdict.is_unchanged)


def test_an_unsigned_file_is_named_as_such(tmp_path):
    with media.VideoWriter(tmp_path / "out.mp4", frame_rate=25) as writer:
        writer.write(next(moving_frames(1)))
    assert not verify(tmp_path / "out.mp4").is_signed


def test_the_users_key_is_made_once_and_theirs_alone(tmp_path):
    folder = tmp_path / "config" / "hunyuan-portrait"
    made = signature_of_user(folder)
    assert signature_of_user(folder) == made
    assert sorted(file.name for file in folder.iterdir()) == [CERTIFICATE, KEY]
    assert stat.S_IMODE((folder / KEY).stat().st_mode) == 0o600
    (folder / KEY).write_text("damaged")
    again = signature_of_user(folder)
    assert again != made
    assert signature_of_user(folder) == again
    assert stat.S_IMODE((folder / KEY).stat().st_mode) == 0o600


def make_certificates(key, *, days=10):
    """A chain for this key, as an authority would give it: PEM of the signer's, and of the authority's."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    authority = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Authority")])
    signer = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Studio"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Studio 5"),
        ]
    )
    pems = []
    for subject, public, is_authority in ((signer, key, False), (authority, authority_key, True)):
        usage = dict.fromkeys(
            (
                *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
                *("crl_sign", "encipher_only", "decipher_only"),
            ),
            False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(public.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=20))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not is_authority, key_cert_sign=is_authority, **usage),
                critical=True,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public.public_key()), critical=False)
        )
        if not is_authority:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
        pems.append(builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return pems


def write_key(path, key):
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(pem, kind, serialization.NoEncryption()))
    return path


@pytest.mark.parametrize(
    ("make_key", "algorithm"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), "es384"),
        (lambda: rsa.generate_private_key(65537, 2048), "ps256"),
        (ed25519.Ed25519PrivateKey.generate, "ed25519"),
    ],
    ids=["es384", "ps256", "ed25519"],
)
def test_the_users_own_certificate_signs(tmp_path, make_key, algorithm):
    key = make_key()
    signer, authority = make_certificates(key)
    (tmp_path / "chain.pem").write_bytes(signer + authority)
    (tmp_path / "authority.pem").write_bytes(authority)
    signature = signature_of_files(tmp_path / "chain.pem", write_key(tmp_path / "key.pem", key))
    assert signature.algorithm == algorithm
    Image.fromarray(next(moving_frames(1))).save(tmp_path / "sheet.png")
    seal(tmp_path / "sheet.png", Claim(MADE_BY_MODEL, "a", "b"), signature)
    verdict = verify(tmp_path / "sheet.png", tmp_path / "authority.pem")
    assert (verdict.is_unchanged, verdict.is_trusted) == (True, True)
    assert not verify(tmp_path / "sheet.png").is_trusted


def test_certificates_that_cannot_sign_are_told(tmp_path):
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    keys = {"key.pem": key, "other.pem": other}
    for name, one in keys.items():
        write_key(tmp_path / name, one)
    (tmp_path / "chain.pem").write_bytes(b"".join(make_certificates(key)))
    (tmp_path / "old.pem").write_bytes(b"".join(make_certificates(key, days=-5)))
    (tmp_path / "text.pem").write_text("nothing")
    for certificate, used, said in [
        ("chain.pem", "other.pem", "is not that of the first certificate"),
        ("old.pem", "key.pem", "so it cannot sign now"),
        ("text.pem", "key.pem", "holds no certificate"),
        ("chain.pem", "text.pem", "holds no private key"),
        ("missing.pem", "key.pem", "cannot be read"),
    ]:
        with pytest.raises(UserError, match=said):
            signature_of_files(tmp_path / certificate, tmp_path / used)


def test_a_file_that_cannot_be_signed_stays_as_it_was(tmp_path, signature):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(UserError, match=r"out\.mp4 cannot be signed"):
        seal(path, Claim(MADE_BY_MODEL, "a", "b"), signature)
    assert path.read_bytes() == b"no video"
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_what_was_signed_is_json_that_anybody_reads(write):
    assert json.loads(c2pa.Reader(str(write())).json())["active_manifest"]
