"""`hunyuan-portrait animate` as a user meets it: what it writes, what it says, and how it refuses bad input."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from astronaut import SHORT, moving_frames
from PIL import Image

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline
from diffusers_hunyuan_portrait.media import VideoReader, VideoWriter, read_image


def codec_of(path: Path) -> tuple[str, str]:
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        return context.name, context.pix_fmt


def test_the_square_is_put_back_into_the_portrait_at_the_clips_rate(animate, media):
    code, said, output = animate()
    assert code == 0, said
    assert "tiny model" in said
    assert "Faces by mtcnn" in said
    for stage in [
        "Following the face",
        "Encoding the motion",
        "Denoising (steps × windows)",
        "Decoding and writing",
    ]:
        assert stage in said
    clip, original = VideoReader(output), read_image(media / "portrait.png")
    assert (clip.frame_count, clip.frame_rate) == (SHORT, Fraction(30000, 1001))
    assert codec_of(output) == ("h264", "yuv420p")
    assert (clip.height, clip.width) == original.shape[:2]
    first = next(iter(clip)).astype(int)
    # The portrait box of this picture leaves its lower edge alone; 12 of 255 is what the codec may change there.
    assert np.abs(first[-40:] - original[-40:]).mean() < 12
    # The face is replaced by an untrained network's picture.
    assert np.abs(first[60:140, 180:260] - original[60:140, 180:260]).mean() > 30


def test_crop_only_writes_the_square_alone(animate):
    code, said, output = animate("--crop-only", "--height", 72, "--width", 64)
    assert code == 0, said
    clip = VideoReader(output)
    assert (clip.width, clip.height, clip.frame_count) == (64, 72, SHORT)


def test_a_seed_repeats_the_file(animate, tmp_path):
    files = [tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.mp4"]
    for file, seed in zip(files, [5, 5, 6], strict=True):
        code, said, _ = animate("--seed", seed, "--no-provenance", output=file)  # credentials have times
        assert code == 0, said
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


def test_a_still_picture_drives_one_frame(animate, media):
    code, said, output = animate(driving=media / "portrait.png")
    assert code == 0, said
    assert VideoReader(output).frame_count == 1


def test_frames_without_a_face_are_named_and_the_clip_goes_on(animate, tmp_path):
    driving = tmp_path / "lost.mp4"
    with VideoWriter(driving, frame_rate=25) as writer:
        for index, frame in enumerate(moving_frames(SHORT)):
            writer.write(np.zeros_like(frame) if index in (0, 2, 3) else frame)
    code, said, output = animate(driving=driving)
    assert code == 0, said
    # Black pictures are cuts of the film, over which nothing is bridged.
    assert "The face is out of view in 3 of 6 driving frames: 0, 2-3 (counted from 0)." in said
    assert VideoReader(output).frame_count == SHORT


def bad_file(kind: str, folder: Path, good: Path) -> Path:
    path = folder / f"{kind}{good.suffix}"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("neither a picture nor a video\n" * 50)
    elif kind == "folder":
        path.mkdir()
    elif kind == "cut":
        path.write_bytes(good.read_bytes()[: good.stat().st_size * 2 // 3])
    return path


@pytest.mark.parametrize("role", ["portrait", "driving"])
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", "does not exist"),
        ("empty", "is empty"),
        ("text", "is not a"),
        ("folder", "is a folder"),
        ("cut", "cut short"),
    ],
)
def test_an_unreadable_file_is_refused(animate, refused, media, tmp_path, role, kind, sentence):
    good = media / {"portrait": "portrait.png", "driving": "driving.mp4"}[role]
    path = bad_file(kind, tmp_path, good)
    refused(animate(**{role: path}), sentence, str(path))


@pytest.mark.parametrize(("side", "words"), [(1, "1x1 pixels"), (20_000, "400 megapixels")])
def test_a_portrait_of_a_senseless_size_is_refused(animate, refused, tmp_path, side, words):
    path = tmp_path / "portrait.png"
    Image.new("1", (side, side)).save(path)
    refused(animate(portrait=path), str(path), words)


def test_a_portrait_without_a_face_is_refused(animate, refused, tmp_path):
    path = tmp_path / "portrait.png"
    Image.new("RGB", (256, 256), (90, 120, 150)).save(path)
    refused(animate(portrait=path), "No face was found in the portrait")


def test_a_clip_without_any_face_is_refused(animate, refused, tmp_path):
    path = tmp_path / "driving.mp4"
    with VideoWriter(path, frame_rate=25) as writer:
        for _ in range(3):
            writer.write(np.full((128, 128, 3), 128, np.uint8))
    refused(animate(driving=path), "No face was found in any")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--appearance-guidance-scale", "nan"], ["appearance_guidance_scale", "nan"]),
        (["--motion-guidance-scale", "1:inf"], ["motion_guidance_scale", "inf"]),
        (["--motion-guidance-scale", "lots"], ["--motion-guidance-scale", "lots"]),
        (["--steps", 0], ["num_inference_steps", "0"]),
        (["--window-size", 3, "--window-overlap", 3], ["window_size", "window_overlap", "longer"]),
        (["--height", 100], ["multiples of 8", "100"]),
        (["--width", 4], ["multiples of 8", "4"]),
        (["--strength", 0], ["strength", "0"]),
        (["--detector", "eyes"], ["eyes", "mtcnn"]),
        (["--device", "abacus"], ["abacus", "cpu"]),
        (["--device", "cpu:abacus"], ["cpu:abacus", "there is cpu"]),
        (["--height", 8, "--width", 8], ["from 16 to 4096", "8 and 8"]),
        (["--height", 100_000, "--width", 100_000], ["from 16 to 4096", "100000"]),
        (["--window-size", 10**20], ["window_size", "at most 1024"]),
        (["--steps", 10**12], ["num_inference_steps", "at most 10000"]),
        (["--appearance-guidance-scale", "1e300"], ["NaN", "guidance"]),
        (["--dtype", "fp3"], ["fp3", "bf16"]),
        (["--offload", "cloud"], ["cloud", "sequential"]),
        (["--offload", "model"], ["model", "GPU"]),
        (["--model", "/nowhere"], ["/nowhere", "convert", "drawn-faces, tiny"]),
    ],
)
def test_a_senseless_setting_is_refused(animate, refused, options, words):
    refused(animate(*options), *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", 0], "num_inference_steps"),
        (["--height", 100], "multiples of 8"),
        (["--decode-chunk-size", 0], "decode_chunk_size"),
        (["--offload", "model"], "GPU"),
        (["--dtype", "fp3"], "fp3"),
        (["--detector", "eyes"], "eyes"),
    ],
)
def test_a_senseless_setting_is_told_before_the_model_is_looked_for(animate, refused, options, words):
    refused(animate(*options, model="/nowhere"), words)


def test_a_folder_that_is_no_model_is_refused(animate, refused, tmp_path):
    refused(animate(model=tmp_path), "not a converted model", str(tmp_path))
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableVideoDiffusionPipeline"}')
    refused(animate(model=tmp_path), "StableVideoDiffusionPipeline")
    (tmp_path / "model_index.json").write_text('{"_class_name": "HunyuanPortraitPipeline"}')
    refused(animate(model=tmp_path), "incomplete or damaged")


def test_a_model_with_a_pickle_in_it_is_refused(animate, refused, tiny_model_dir, tmp_path):
    model = tmp_path / "model"
    (model / "pose_guider").mkdir(parents=True)
    for path in tiny_model_dir.iterdir():
        if path.name != "pose_guider":
            (model / path.name).symlink_to(path)
    (model / "pose_guider" / "config.json").symlink_to(tiny_model_dir / "pose_guider" / "config.json")
    torch.save({"conv_in.weight": torch.nn.Linear(2, 2)}, model / "pose_guider" / "diffusion_pytorch_model.bin")
    refused(animate(model=model), "incomplete or damaged", str(model))


def test_an_output_that_cannot_be_is_refused(animate, refused, tmp_path):
    refused(animate(output=tmp_path / "nowhere" / "out.mp4"), "nowhere")
    refused(animate(output=tmp_path / "out.txt"), "out.txt", ".mp4")
    code, said, _ = animate(output=tmp_path)
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert "is a folder" in said


def test_an_input_is_not_overwritten(animate, media, tmp_path):
    driving, link, portrait = tmp_path / "driving.mp4", tmp_path / "link.mp4", tmp_path / "portrait.mp4"
    driving.write_bytes((media / "driving.mp4").read_bytes())
    link.symlink_to(driving)
    portrait.write_bytes((media / "portrait.png").read_bytes())  # what is inside counts, not the name
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for bad in (
        {"driving": driving, "output": driving},
        {"driving": driving, "output": link},
        {"portrait": portrait, "output": portrait},
    ):
        code, said, output = animate(**bad)
        assert code == 2
        assert f"The output {output} is the input" in said
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_too_little_memory_is_a_sentence(animate, refused, monkeypatch):
    def fail(*_args, **_settings):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nMore lines.")

    monkeypatch.setattr(HunyuanPortraitPipeline, "_predict_window", fail)
    refused(animate(), "not enough memory (CUDA out of memory. Tried to allocate 9 GiB); choose a smaller")


def test_a_failure_keeps_the_video_that_was_there(animate, tmp_path):
    old = tmp_path / "out.mp4"
    old.write_bytes(b"an older video")
    code, _, _ = animate("--steps", 0)
    assert code == 2
    assert old.read_bytes() == b"an older video"


def test_a_stopped_process_leaves_nothing(media, tmp_path):
    words = ["animate", media / "portrait.png", media / "driving.mp4", "-o", tmp_path / "out.mp4"]
    job = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SLOW_JOB,
            *map(str, words),
            "--model",
            "tiny",
            "--steps",
            "1",
            "--detector",
            "mtcnn",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert job.stdout.readline() == "writing\n"
    assert list(tmp_path.iterdir()) != []  # under its hidden name
    job.terminate()
    assert job.wait(timeout=60) == 143
    assert list(tmp_path.iterdir()) == []


# The command line, but for a writer that repeats the first frame until the encoder lets some go, and then waits.
SLOW_JOB = """
import time
from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.cli.main import run

write = media.VideoWriter.write

def write_and_wait(self, frame, timestamp=None):
    for _ in range(100):
        write(self, frame)
    print("writing", flush=True)
    time.sleep(60)

media.VideoWriter.write = write_and_wait
run()
"""
