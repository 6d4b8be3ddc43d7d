"""A motion on the command line: extracted once, and as good as its clip."""

import numpy as np
import pytest
from astronaut import SHORT

from diffusers_hunyuan_portrait.media import VideoWriter
from diffusers_hunyuan_portrait.motion import DrivingMotion


@pytest.fixture
def extract(command, media, tmp_path):
    """Runs `extract` on the good clip but for what a test changes; gives code, words and output."""

    def call(*options, driving=None, output=None, model="tiny"):
        output = output or tmp_path / "motion.safetensors"
        words = driving or media / "driving.mp4", "-o", output, "--model", model, "--detector", "mtcnn"
        return *command("extract", *words, *options), output

    return call


def test_a_motion_animates_as_its_clip(extract, animate, tmp_path):
    code, said, motion = extract()
    assert code == 0, said
    assert f"the motion of {SHORT} frames" in said
    videos = []
    for driving in (None, motion):
        code, said, video = animate("--no-provenance", driving=driving, output=tmp_path / f"{len(videos)}.mp4")
        assert code == 0, said
        videos.append(video.read_bytes())
    assert videos[0] == videos[1]


def test_a_stretch_is_extracted(extract):
    code, said, output = extract("--start", "0.05", "--fps", "12.5")
    assert code == 0, said
    motion = DrivingMotion.load(output)
    assert (len(motion), motion.frame_rate) == (2, 12.5)


def test_no_part_of_a_motion_is_taken(extract, animate, refused):
    _, _, motion = extract()
    refused(animate("--start", "0.1", driving=motion), "no part can be taken")


def test_bad_input_is_one_sentence(extract, refused, tmp_path):
    faceless = tmp_path / "faceless.mp4"
    with VideoWriter(faceless, frame_rate=25) as writer:
        for _ in range(3):
            writer.write(np.full((128, 128, 3), 128, np.uint8))
    refused(extract(driving=faceless), "No face was found in any of the 3")
    refused(extract(output=tmp_path / "motion.mp4"), "does not end in .safetensors")
    refused(extract(output=tmp_path / "nowhere" / "motion.safetensors"), "nowhere")
    refused(extract("--crop", "last", model="/nowhere"), "first, follow, each")


def test_a_motion_of_other_encoders_is_refused(extract, animate, refused):
    _, _, output = extract(model="drawn-faces")
    refused(animate(driving=output), "another model's encoders")
