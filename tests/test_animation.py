"""The whole job: its memory over long clips, sound, times, and what is left when it fails."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from astronaut import moving_frames, portrait_picture
from media_clips import make_clip, sound_of
from PIL import Image

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.animation import animate
from diffusers_hunyuan_portrait.errors import RunInterruptedError
from diffusers_hunyuan_portrait.face import crop_portrait, load_detector
from diffusers_hunyuan_portrait.loading import load_pipeline

KIB_A_FRAME = 128 + 3 * 64  # motion tokens in half precision, and three copies of the latents


def peak_kib(num_frames: int, folder: Path) -> int:
    script = Path(__file__).with_name("long_clip.py")
    done = subprocess.run(
        [sys.executable, str(script), str(num_frames), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def test_memory_grows_by_tokens_and_latents_alone(tmp_path):
    short, long = peak_kib(200, tmp_path), peak_kib(2000, tmp_path)
    print(f"peak of 200 frames {short} KiB, of 2,000 frames {long} KiB: {(long - short) / 1800:.0f} KiB a frame")
    # 32 MiB beside: what the allocator keeps, and codecs whose queues a short clip does not fill.
    assert long - short < 1800 * KIB_A_FRAME + 32 * 1024


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline("tiny", torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def detector():
    return load_detector("mtcnn")


def run(pipe, detector, driving, output, **settings) -> Path:
    """A short run, silent and repeatable."""
    quiet = {"on_progress": lambda stage, done, total: None, "num_inference_steps": 1}
    generator = torch.Generator().manual_seed(0)
    return animate(
        pipe, portrait_picture(), driving, output, detector=detector, generator=generator, **quiet, **settings
    )


@pytest.fixture(scope="module")
def clip_with_sound(tmp_path_factory) -> Path:
    """12 frames at 24 a second with half a second of AAC."""
    folder = tmp_path_factory.mktemp("clip")
    tone = make_clip(folder / "tone.mp4", frames=12, rate=24, sound=["aac"])
    with media.VideoWriter(folder / "driving.mp4", frame_rate=24, sound_from=tone) as writer:
        for frame in moving_frames(12):
            writer.write(frame)
    return folder / "driving.mp4"


def test_rate_length_and_sound_are_the_driving_clips(pipe, detector, clip_with_sound, tmp_path):
    output = run(pipe, detector, clip_with_sound, tmp_path / "out.mp4")
    written = media.VideoReader(output)
    assert (written.frame_count, written.frame_rate) == (12, Fraction(24))
    copied, original = sound_of(output), sound_of(clip_with_sound)
    assert original is not None
    assert copied.packets == original.packets != []


def test_frames_of_a_varying_rate_keep_their_times(pipe, detector, tmp_path):
    times = [0.0, 0.04, 0.12, 0.16, 0.5]
    with media.VideoWriter(tmp_path / "driving.mp4", frame_rate=25) as writer:
        for time, frame in zip(times, moving_frames(len(times)), strict=True):
            writer.write(frame, time)
    output = run(pipe, detector, tmp_path / "driving.mp4", tmp_path / "out.mp4")
    np.testing.assert_allclose(media.VideoReader(output).timestamps, times, atol=1e-3)  # a millisecond: Matroska's


def test_the_square_replaces_the_box_and_nothing_else(pipe, detector, clip_with_sound, tmp_path):
    output = run(pipe, detector, clip_with_sound, tmp_path / "out.mkv")
    x1, y1, x2, y2 = crop_portrait(portrait_picture(), detector).box
    outside = np.ones(portrait_picture().shape[:2], bool)
    # Half a block of the codec's around it, which blurs the edge.
    outside[max(y1 - 8, 0) : y2 + 8, max(x1 - 8, 0) : x2 + 8] = False
    original = portrait_picture().astype(int)
    for frame in media.VideoReader(output):
        # CRF 17 and 4:2:0 colour stay within 3 of 255 in the mean on this picture.
        assert np.abs(frame[outside] - original[outside]).mean() < 3
        middle = (slice((3 * y1 + y2) // 4, (y1 + 3 * y2) // 4), slice((3 * x1 + x2) // 4, (x1 + 3 * x2) // 4))
        assert np.abs(frame[middle] - original[middle]).mean() > 30


def test_the_written_square_is_what_the_pipeline_gives(pipe, detector, clip_with_sound, tmp_path):
    output = run(pipe, detector, clip_with_sound, tmp_path / "out.mp4", crop_only=True)
    frames = pipe(
        image=portrait_picture(),
        driving_video=clip_with_sound,
        detector=detector,
        num_inference_steps=1,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).frames[0]
    written = np.stack(list(media.VideoReader(output))) / 255
    assert written.shape == frames.shape
    assert np.abs(written - frames).mean() < 0.08  # noise of full colour is what 4:2:0 and CRF 17 keep worst
    assert np.corrcoef(written.ravel(), frames.ravel())[0, 1] > 0.9


def test_all_kinds_of_sources_give_the_same_conditions(pipe, detector, tmp_path):
    frames = list(moving_frames(4))
    Image.fromarray(portrait_picture()).save(tmp_path / "portrait.png")
    sources = [
        (portrait_picture(), np.stack(frames)),
        (Image.fromarray(portrait_picture()), [Image.fromarray(frame) for frame in frames]),
        (tmp_path / "portrait.png", np.stack(frames)),
    ]
    made = [pipe.prepare_conditions(*source, detector=detector) for source in sources]
    for other in made[1:]:
        assert torch.equal(made[0].portrait, other.portrait)
        assert torch.equal(made[0].motion_tokens, other.motion_tokens)
        assert made[0].portrait_box == other.portrait_box
    assert made[0].motion_tokens.shape == (1, 4 + 2 * 15, 16, 64)


@pytest.mark.parametrize("stage", ["detect", "denoise", "decode"])
def test_an_interrupted_run_leaves_no_file(pipe, detector, clip_with_sound, tmp_path, stage):
    def stop(at: str, done: int, total: int) -> None:
        reports.append(at)
        if at == stage:
            pipe.interrupt = True

    reports: list[str] = []

    with pytest.raises(RunInterruptedError):
        animate(
            pipe,
            portrait_picture(),
            clip_with_sound,
            tmp_path / "out.mp4",
            detector=detector,
            num_inference_steps=2,
            decode_chunk_size=4,
            on_progress=stop,
        )
    assert reports.count(stage) == 1  # nothing more was done
    assert not list(tmp_path.iterdir())


def test_a_misspelt_setting_is_told_before_any_work(pipe, detector, clip_with_sound, tmp_path):
    with pytest.raises(TypeError, match="no argument guidance"):
        run(pipe, detector, clip_with_sound, tmp_path / "out.mp4", guidance=2.0)
    assert not list(tmp_path.iterdir())


def lengths(path: Path) -> tuple[float, float]:
    """Seconds of pictures and of sound, as their packets tell."""
    with av.open(str(path)) as container:
        ends = {"video": 0.0, "audio": 0.0}
        for packet in container.demux():
            if packet.size:
                end = float((packet.pts + packet.duration) * packet.time_base)
                ends[packet.stream.type] = max(ends[packet.stream.type], end)
    return ends["video"], ends["audio"]


@pytest.mark.parametrize(
    ("excerpt", "loop", "frames", "seconds"),
    [
        ({}, 1, 12, 12 / 24),
        ({"start": 0.08}, 1, 10, 10 / 24),
        ({"start": 0.05, "end": 0.25}, 1, 4, 4 / 24),
        ({"frame_rate": Fraction(48)}, 1, 24, 0.5),
        ({"frame_rate": Fraction(7)}, 1, 4, 4 / 7),  # of which the last is on for half its time in the clip
        ({}, 3, 36, 1.5),
        ({"start": 0.1, "end": 0.2, "frame_rate": Fraction(30)}, 2, 6, 0.2),
    ],
)
def test_sound_keeps_step_with_parts_rates_and_rounds(
    pipe, detector, clip_with_sound, tmp_path, excerpt, loop, frames, seconds
):
    clip = media.open_frames(clip_with_sound)
    driving = media.Excerpt(clip, **excerpt) if excerpt else clip
    output = run(pipe, detector, driving, tmp_path / "out.mp4", crop_only=True, loop=loop)
    assert media.VideoReader(output).frame_count == frames
    pictures, sound = lengths(output)
    assert pictures == pytest.approx(seconds, abs=1e-3)
    packet, frame = 1024 / 48000, seconds / frames
    assert sound == pytest.approx(seconds, abs=max(packet, frame) + 1e-3)


def test_a_boomerang_runs_back_without_sound_and_says_so(pipe, detector, clip_with_sound, tmp_path, caplog):
    output = run(pipe, detector, clip_with_sound, tmp_path / "out.mp4", boomerang=True, loop=2)
    assert media.VideoReader(output).frame_count == 2 * 22
    assert sound_of(output) is None
    assert "sound is left out, as half of the video runs backwards" in caplog.text


def test_frames_of_a_varying_rate_take_their_times_along(pipe, detector, tmp_path):
    times = [0, 0.03, 0.09, 0.12, 0.2]
    driving = tmp_path / "varying.mp4"
    with media.VideoWriter(driving, frame_rate=25) as writer:
        for time, frame in zip(times, moving_frames(5), strict=True):
            writer.write(frame, time)
    output = run(pipe, detector, driving, tmp_path / "out.mp4", crop_only=True, boomerang=True)
    durations = np.diff(media.VideoReader(output).timestamps)
    last = float(media.VideoReader(driving).frame_rate)
    np.testing.assert_allclose(durations, [0.03, 0.06, 0.03, 0.08, 1 / last, 0.08, 0.03], atol=1e-3)
