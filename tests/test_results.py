"""What is written beside a video: the comparison goes in step with it, the contact sheet shows it."""

from fractions import Fraction

import astronaut
import numpy as np
import pytest
from media_clips import make_clip, moving_frames
from PIL import Image

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.conditions import repetition
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.media.composing import LABEL, ContactSheet, side_by_side
from diffusers_hunyuan_portrait.provenance import Watermark
from diffusers_hunyuan_portrait.results import ResultWriter, check_beside

FRAMES, SIDE = 12, 64
PORTRAIT = np.full((SIDE, SIDE, 3), (200, 30, 30), np.uint8)
# x264 at its usual quality keeps flat grey to about a level; JPEG between it and the driver adds another.
NEAR = 4


def grey(level: float) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), level, np.uint8)


@pytest.fixture
def driving():
    """Frames that are told from each other by their grey."""
    return media.open_frames(np.stack([grey(20 * index) for index in range(FRAMES)]), frame_rate=25)


def write(tmp_path, driving, order, *, count=None, sheet=None, **settings):
    with ResultWriter(
        tmp_path / "out.mp4",
        frame_rate=Fraction(25),
        sound=None,
        comparison=tmp_path / "comparison.mp4",
        sheet=sheet,
        portrait=PORTRAIT,
        driving=driving,
        order=order,
        times=np.arange(len(order)) / 25,
        own_times=False,
        **{"codec": None, "quality": None} | settings,
    ) as writer:
        for index in range(len(order) if count is None else count):
            writer.write(grey(255 - 5 * index))


@pytest.mark.parametrize(("loop", "boomerang"), [(1, False), (2, False), (1, True), (2, True)])
def test_each_frame_stands_beside_the_drivers(tmp_path, driving, loop, boomerang):
    order = repetition(FRAMES, loop, boomerang)
    write(tmp_path, driving, order)
    rows = list(media.VideoReader(tmp_path / "comparison.mp4"))
    assert len(rows) == len(order) == len(list(media.VideoReader(tmp_path / "out.mp4")))
    for index, (row, number) in enumerate(zip(rows, order, strict=True)):
        assert row.shape == (SIDE, 3 * SIDE, 3)
        portrait, driver, result = (
            row[8:-8, start + 8 : start + SIDE - 8].mean(axis=(0, 1)) for start in (0, SIDE, 2 * SIDE)
        )
        np.testing.assert_allclose(portrait, PORTRAIT[0, 0], atol=2 * NEAR)
        np.testing.assert_allclose(driver, 20 * number, atol=NEAR)
        np.testing.assert_allclose(result, max(255 - 5 * index, 0), atol=NEAR)


def test_a_comparison_of_another_shape_and_with_sound(tmp_path):
    """Wide drivers stay wide; the sound is in both."""
    clip = make_clip(tmp_path / "clip.mp4", frames=FRAMES, size=(90, 160), sound=["aac"])
    source = media.open_frames(clip)
    write(tmp_path, source, range(FRAMES))
    seen = media.VideoReader(tmp_path / "comparison.mp4")
    assert (seen.width, seen.height) == (SIDE + 114 + SIDE, SIDE)


def test_a_failure_leaves_nothing(tmp_path, driving):
    def fail() -> None:
        write(tmp_path, driving, range(FRAMES), sheet=tmp_path / "sheet.png", count=FRAMES + 1)

    with pytest.raises(IndexError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_sheet_shows_the_result(tmp_path, driving):
    write(tmp_path, driving, range(FRAMES), sheet=tmp_path / "sheet.png", codec="h264", quality=20)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (3 * (SIDE + LABEL), 4 * SIDE, 3)
    for index in range(FRAMES):
        row, column = divmod(index, 4)
        tile = sheet[row * (SIDE + LABEL) :, column * SIDE :][:SIDE, :SIDE]
        assert (tile == 255 - 5 * index).all()
        assert sheet[row * (SIDE + LABEL) + SIDE :, column * SIDE :][:LABEL, :SIDE].min() < 100  # the time


def test_of_a_long_clip_sixteen_frames_are_shown():
    sheet = ContactSheet(1000)
    for index in range(1000):
        sheet.add(grey(index % 256), index / 25)
    assert sheet.picture().shape == (4 * (SIDE + LABEL), 4 * SIDE, 3)
    assert (sheet.picture()[:SIDE, :SIDE] == 0).all()
    assert (sheet.picture()[-SIDE - LABEL : -LABEL, -SIDE:] == 999 % 256).all()


def test_pictures_in_a_row_have_one_height():
    row = side_by_side([next(moving_frames(1, 50, 30)), next(moving_frames(1, 200, 401))], 100)
    assert row.shape == (100, 60 + 200, 3)


@pytest.mark.parametrize(("count", "name"), [(1, "sheet.jpg"), (6, "sheet.png"), (16, "sheet.jpg")])
def test_all_that_is_written_is_marked(tmp_path, name, count):
    watermark, frames = Watermark(), list(astronaut.moving_frames(count))
    with ResultWriter(
        tmp_path / "out.mp4",
        frame_rate=Fraction(25),
        codec=None,
        quality=None,
        sound=None,
        comparison=tmp_path / "comparison.mp4",
        sheet=tmp_path / name,
        portrait=frames[0],
        driving=media.open_frames(np.stack(frames), frame_rate=25),
        order=range(count),
        times=np.arange(count) / 25,
        own_times=False,
        watermark=watermark,
    ) as writer:
        for frame in frames:
            writer.write(frame)
    for video in ("out.mp4", "comparison.mp4"):
        assert watermark.read(list(media.VideoReader(tmp_path / video))[::5]).is_there
    assert watermark.read_alone(np.asarray(Image.open(tmp_path / name))).is_there


def test_what_cannot_be_written_beside_is_told(tmp_path):
    others = [tmp_path / "out.mp4", tmp_path / "portrait.png"]
    for comparison, sheet, has_pictures, said in [
        (tmp_path / "c.mp4", None, False, "no pictures of its driver"),
        (tmp_path / "c.txt", None, True, "does not end in"),
        (tmp_path / "out.mp4", None, True, "named twice"),
        (None, tmp_path / "sheet.mp4", True, "let it end in one of .png"),
        (None, tmp_path / "no" / "sheet.png", True, "does not exist"),
        (None, tmp_path / "portrait.png", True, "named twice"),
    ]:
        with pytest.raises(UserError, match=said):
            check_beside(comparison, sheet, others, has_pictures=has_pictures)
    assert check_beside(None, None, others, has_pictures=False) == (None, None)
