"""`hunyuan-portrait verify`, in its words."""

import astronaut
import pytest
from media_clips import moving_frames
from PIL import Image

from diffusers_hunyuan_portrait.media import VideoWriter
from diffusers_hunyuan_portrait.provenance import MADE_BY_MODEL, Claim, Watermark, seal, signature_of_user


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


# -- The watermark ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """A video without credentials whose frames are marked."""
    path, watermark = tmp_path_factory.mktemp("marked") / "out.mp4", Watermark()
    with VideoWriter(path, frame_rate=25) as writer:
        for frame in astronaut.moving_frames(6):
            writer.write(watermark.mark(frame))
    return path


def test_a_marked_copy_without_credentials_is_known(command, marked):
    code, said = command("verify", marked, "--watermark")
    assert code == 0, said
    assert "is unsigned" in said
    assert "It bears this program's watermark: 3" in said
    assert "of 32 bits" in said
    assert "read from 2 frames" in said  # of the six, the first and the sixth
    assert command("verify", marked)[0] == 1  # the mark is looked for only where it is asked for


def test_what_is_not_marked_is_told(command, signed, tmp_path):
    code, said = command("verify", signed, "--watermark")
    assert code == 1
    assert "unchanged since signing" in said
    assert "watermark was not found" in said
    assert "where 28 are needed" in said


def test_a_mark_does_not_make_a_changed_file_good(command, marked, tmp_path):
    path = tmp_path / "changed.mp4"
    path.write_bytes(marked.read_bytes())
    seal(path, Claim(MADE_BY_MODEL, "drawn-faces", "mtcnn"), signature_of_user(tmp_path / "config"))
    assert command("verify", path, "--watermark")[0] == 0
    data = bytearray(path.read_bytes())
    at = data.rindex(b"Lavf") if b"Lavf" in data else len(data) - 10
    data[at] ^= 1  # in the notes, so that the frames can still be read
    path.write_bytes(data)
    code, said = command("verify", path, "--watermark")
    assert code == 1
    assert "changed since signing" in said
    assert "It bears this program's watermark" in said


@pytest.mark.parametrize("name", ["picture.jpg", "picture.png", "animated.webp", "animated.gif"])
def test_pictures_are_read_too(command, tmp_path, name):
    watermark, path = Watermark(), tmp_path / name
    if name.startswith("animated"):
        with VideoWriter(path, frame_rate=25) as writer:
            for frame in astronaut.moving_frames(3):
                writer.write(watermark.mark(frame))
    else:
        Image.fromarray(watermark.mark(astronaut.portrait_picture())).save(path, quality=80)
    code, said = command("verify", path, "--watermark")
    assert code == 0, said
    assert "read from 1 frame." in said


def test_without_the_extra_or_frames_it_is_one_sentence(command, marked, tmp_path, monkeypatch):
    (tmp_path / "text.mp4").write_text("nothing")
    code, said = command("verify", tmp_path / "text.mp4", "--watermark")
    assert code == 2
    assert "Traceback" not in said
    monkeypatch.setattr("diffusers_hunyuan_portrait.provenance.watermark.find_spec", lambda name: None)
    code, said = command("verify", marked, "--watermark")
    assert code == 2
    assert "pip install 'diffusers-hunyuan-portrait[watermark]'" in said
