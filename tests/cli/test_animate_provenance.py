"""What `animate` says of how a video was made, on every file that it writes."""

import hashlib

import numpy as np
import pytest
from astronaut import portrait_picture
from PIL import Image

from diffusers_hunyuan_portrait.media import VideoReader
from diffusers_hunyuan_portrait.provenance import COMMENT, signature_of_user, verify


def test_every_file_says_that_it_is_generated(animate, media, tmp_path, config_folder):
    beside = {"--compare": tmp_path / "compare.mp4", "--preview": tmp_path / "sheet.jpg"}
    code, said, output = animate(*(word for pair in beside.items() for word in pair))
    assert code == 0, said
    (tmp_path / "trusted.pem").write_bytes(signature_of_user(config_folder).certificates)
    for file in (output, *beside.values()):
        verdict = verify(file, tmp_path / "trusted.pem")
        assert (verdict.is_unchanged, verdict.is_trusted) == (True, True)
        [action] = verdict.actions
        assert action["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
        assert (action["parameters"]["model"], action["parameters"]["faceDetector"]) == ("tiny", "mtcnn")
    hashed = hashlib.sha256((media / "portrait.png").read_bytes()).hexdigest()
    assert f"sha256:{hashed}".encode() in output.read_bytes()
    assert str(tmp_path).encode() not in output.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "compare.mp4",
        "out.mp4",
        "sheet.jpg",
        "trusted.pem",
    ]


def test_the_square_alone_is_the_models(animate):
    code, said, output = animate("--crop-only")
    assert code == 0, said
    assert verify(output).actions[0]["digitalSourceType"].endswith("/trainedAlgorithmicMedia")


def test_what_cannot_carry_credentials_notes_it(animate, tmp_path):
    code, said, output = animate("--crop-only", output=tmp_path / "out.mkv")
    assert code == 0
    assert "A .mkv file cannot carry content credentials" in said
    assert COMMENT.encode() in output.read_bytes()


def test_without_credentials_it_is_told_why_not(animate):
    code, said, output = animate("--crop-only", "--no-provenance")
    assert code == 0
    assert "do not leave this out of pictures of real people" in said
    assert not verify(output).is_signed
    assert COMMENT.encode() not in output.read_bytes()


@pytest.mark.parametrize("options", [["--certificate", "chain.pem"], ["--key", "key.pem"]])
def test_a_certificate_needs_its_key(animate, options):
    code, said, _ = animate(*options, model="/nowhere")
    assert code == 2
    assert "give --certificate and --key" in said


def test_a_certificate_that_cannot_sign_is_told_before_the_model_is_looked_for(animate, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "chain.pem", "png")
    code, said, output = animate(
        "--certificate", tmp_path / "chain.pem", "--key", tmp_path / "key.pem", model="/nowhere"
    )
    assert code == 2
    assert "key.pem cannot be read" in said
    assert not output.exists()


def test_frames_are_the_same_with_and_without(animate, tmp_path):
    frames = []
    for options in ([], ["--no-provenance"]):
        code, said, output = animate("--quality", 0, *options, output=tmp_path / f"{len(frames)}.mp4")
        assert code == 0, said
        frames.append(b"".join(frame.tobytes() for frame in VideoReader(output)))
    assert frames[0] == frames[1]


def test_both_videos_are_marked(animate, media, command, tmp_path):
    """In a portrait that is wider, as the tiny model's square is noise of full colour, which drowns any mark."""
    portrait, compare = tmp_path / "wide.png", tmp_path / "compare.mp4"
    Image.fromarray(np.pad(portrait_picture(), ((0, 250), (150, 200), (0, 0)), "reflect")).save(portrait)
    code, said, output = animate("--watermark", "--compare", compare, portrait=portrait)
    assert code == 0, said
    for file in (output, compare):
        code, said = command("verify", file, "--watermark")
        assert code == 0, said
        assert "It bears this program's watermark" in said


def test_a_watermark_that_cannot_be_is_told_before_the_work(animate, refused, tmp_path, monkeypatch):
    small = tmp_path / "small.png"
    Image.fromarray(portrait_picture()).resize((200, 200)).save(small)
    refused(animate("--watermark", portrait=small, model="/nowhere"), "200x200", "too small", "--watermark")
    refused(animate("--watermark", "--crop-only"), "128x128", "too small")  # what the tiny model makes
    monkeypatch.setattr("diffusers_hunyuan_portrait.provenance.watermark.find_spec", lambda name: None)
    refused(animate("--watermark", model="/nowhere"), "pip install 'diffusers-hunyuan-portrait[watermark]'")
