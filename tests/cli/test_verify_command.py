"""`hunyuan-portrait verify`, in its words."""

import pytest
from media_clips import moving_frames

from diffusers_hunyuan_portrait.media import VideoWriter
from diffusers_hunyuan_portrait.provenance import MADE_BY_MODEL, Claim, seal, signature_of_user


@pytest.fixture
def signed(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, frame_rate=25) as writer:
        for frame in moving_frames(3):
            writer.write(frame)
    signature = signature_of_user(tmp_path / "config")
    seal(path, Claim(MADE_BY_MODEL, "drawn-faces", "mtcnn"), signature)
    (tmp_path / "trusted.pem").write_bytes(signature.certificates)
    return path


def test_unchanged(command, signed, tmp_path):
    code, said = command("verify", signed)
    assert code == 0
    assert "unchanged since signing, signer not in a trust list" in said
    assert "trainedAlgorithmicMedia" in said
    assert "model drawn-faces" in said
    code, said = command("verify", signed, "--trust-list", tmp_path / "trusted.pem")
    assert code == 0
    assert "unchanged since signing, signer trusted" in said


def test_changed(command, signed):
    data = bytearray(signed.read_bytes())
    data[-10] ^= 1
    signed.write_bytes(data)
    code, said = command("verify", signed)
    assert code == 1
    assert f"{signed.name}: changed since signing" in said
    assert "unchanged" not in said


def test_unsigned(command, tmp_path):
    for name in ("out.mp4", "out.mkv"):
        with VideoWriter(tmp_path / name, frame_rate=25) as writer:
            writer.write(next(moving_frames(1)))
        code, said = command("verify", tmp_path / name)
        assert code == 1
        assert "is unsigned" in said
    assert "A .mkv file cannot carry content credentials" in said


def test_what_cannot_be_read_is_one_sentence(command, signed, tmp_path):
    assert command("verify", tmp_path / "nothing.mp4")[0] == 2
    code, said = command("verify", signed, "--trust-list", tmp_path / "nothing.pem")
    assert code == 2
    assert "trust list" in said
