"""Every codec in every file that holds it: frames, colours, times and sound, as other programs read them."""

import av
import numpy as np
import pytest
from media_clips import make_clip, moving_frames
from PIL import Image

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.media.codecs import CODECS

SIZE = (96, 127)  # an odd side, which most codecs cannot hold
TIMES = [0.0, 0.04, 0.12, 0.16, 0.5]
NAMES = {
    "h264": "h264",
    "h265": "hevc",
    "av1": "libdav1d",
    "vp9": "vp9",
    "prores": "prores",
}  # as FFmpeg reads them
VIDEOS = [(name, suffix) for name in NAMES for suffix in CODECS[name].suffixes]
# Levels of 255 in the mean: what half the colours' resolution costs, and in GIF 256 colours in all.
LOSS, LOSS_OF_GIF = 2.0, 3.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=20, sound=["aac"])


def write(path, codec, times=None, sound=None, quality=None):
    count = 20 if times is None else len(times)
    with media.VideoWriter(path, frame_rate=25, codec=codec, quality=quality, sound_from=sound) as writer:
        for index, frame in enumerate(moving_frames(count, *SIZE)):
            writer.write(frame, None if times is None else times[index])
    return path


def loss(frames) -> float:
    wanted = moving_frames(len(frames), *SIZE)
    cut = [frame[: SIZE[0], : SIZE[1]].astype(int) for frame in frames]
    return float(np.mean([np.abs(frame - other) for frame, other in zip(cut, wanted, strict=True)]))


@pytest.mark.parametrize(("codec", "suffix"), VIDEOS)
def test_frames_colours_and_sound(tmp_path, clip, codec, suffix):
    path = write(tmp_path / f"out{suffix}", codec, sound=clip)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        seen = stream.codec_context
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        sounds = [stream.codec_context.name for stream in container.streams.audio]
        length = container.duration / av.time_base
    assert seen.name == NAMES[codec]
    assert (len(frames), loss(frames) < LOSS) == (20, True)
    assert length == pytest.approx(0.8, abs=0.03)  # a packet of sound
    assert sounds == ["opus" if suffix == ".webm" else "aac"]
    # BT.601's matrix in a picture of this size, sRGB's primaries, and not all of the range.
    assert (seen.colorspace, seen.color_primaries, seen.color_trc, seen.color_range) == (6, 1, 1, 1)
    if codec == "h265" and suffix in (".mp4", ".m4v", ".mov"):
        assert seen.codec_tag == "hvc1"


@pytest.mark.parametrize(("codec", "suffix"), VIDEOS)
def test_frames_keep_their_own_times(tmp_path, codec, suffix):
    path = write(tmp_path / f"out{suffix}", codec, TIMES)
    with av.open(str(path)) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert [float(time) for time in times] == pytest.approx(TIMES, abs=1e-3)  # Matroska's milliseconds


@pytest.mark.parametrize(("codec", "most"), [("gif", LOSS_OF_GIF), ("webp", LOSS)])
@pytest.mark.parametrize("times", [None, TIMES])
def test_animated_pictures(tmp_path, clip, codec, most, times):
    path = write(tmp_path / f"out.{codec}", codec, times, sound=clip)
    with Image.open(path) as picture:
        assert picture.size == SIZE[::-1]
        assert picture.info["loop"] == 0  # for ever
        frames, durations = [], []
        for index in range(picture.n_frames):
            picture.seek(index)
            frames.append(np.asarray(picture.convert("RGB")))
            durations.append(picture.info["duration"])
    assert loss(frames) < most
    if times is None:
        assert durations == [40] * 20
    else:
        assert durations[:-1] == [40, 80, 40, 340]


def test_gif_shows_frames_that_are_shorter_than_its_ticks(tmp_path):
    with media.VideoWriter(tmp_path / "out.gif", frame_rate=240) as writer:
        for frame in moving_frames(6):
            writer.write(frame)
    with Image.open(tmp_path / "out.gif") as picture:
        assert picture.n_frames == 6


@pytest.mark.parametrize("codec", ["h265", "av1", "vp9", "webp"])
def test_a_worse_quality_takes_less(tmp_path, codec):
    suffix, facts = CODECS[codec].suffixes[0], CODECS[codec]
    worse = facts.worst + (facts.best - facts.worst) // 10
    usual = write(tmp_path / f"usual{suffix}", codec).stat().st_size
    assert write(tmp_path / f"worse{suffix}", codec, quality=worse).stat().st_size < 0.9 * usual


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("out.mp4", {"codec": "divx"}, "no codec 'divx'; choose one of h264"),
        ("out.webm", {"codec": "h264"}, r"h264 does not go into a .webm file; use one of .mp4"),
        ("out.gif", {"quality": 3}, "gif has no quality"),
        ("out.mp4", {"quality": 52}, "h264 goes from 51, the worst, to 0, the best; it cannot be 52"),
        ("out.webp", {"quality": 101}, "webp goes from 0"),
        ("out.mp4", {"codec": "png"}, "go into a folder"),
        ("out", {"codec": "png", "quality": 1}, "no quality to choose"),
        ("out.avi", {}, "use one of .mp4"),
    ],
)
def test_what_does_not_go_together_is_told(tmp_path, name, settings, said):
    with pytest.raises(UserError, match=said):
        media.check_output(tmp_path / name, **settings)


def test_a_folder_of_pictures(tmp_path):
    with media.PictureWriter(tmp_path / "out") as writer:
        for frame in moving_frames(3):
            writer.write(frame)
        assert not (tmp_path / "out").exists()
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    for file, frame in zip(files, moving_frames(3), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), frame)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_pictures_is_whole_or_not_there(tmp_path):
    def fail() -> None:
        with media.PictureWriter(tmp_path / "out") as writer:
            writer.write(next(moving_frames(1)))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    media.check_output(tmp_path / "out", codec="png")  # an empty one is taken
    (tmp_path / "out" / "kept.txt").write_text("kept")
    with pytest.raises(UserError, match="new, or empty"):
        media.PictureWriter(tmp_path / "out")
