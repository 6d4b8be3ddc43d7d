"""A folder of numbered pictures is a clip."""

import numpy as np
import pytest
from PIL import Image

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.errors import UnreadableMediaError, UserError


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures, each as bright as its number says, beside what is none of them."""
    for number in range(12):
        picture = np.full((32, 48, 3), 10 * number, np.uint8)
        Image.fromarray(picture).save(tmp_path / f"frame{number}.{'png' if number % 2 else 'bmp'}")
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / ".frame99.png").write_bytes(b"left over")
    (tmp_path / "frame5b.png").mkdir()
    return tmp_path


def test_pictures_come_in_the_order_of_their_numbers(folder):
    clip = media.open_frames(folder, frame_rate=25)
    assert (clip.frame_count, clip.width, clip.height, clip.frame_rate) == (12, 48, 32, 25)
    for _ in range(2):
        assert [int(frame[0, 0, 0]) for frame in clip] == [10 * number for number in range(12)]


def test_pictures_are_read_when_they_are_due(folder):
    """One that is damaged inside harms none before it."""
    (folder / "frame5.png").write_bytes((folder / "frame5.png").read_bytes()[:-30])
    frames = iter(media.open_frames(folder, frame_rate=25))
    assert [int(next(frames)[0, 0, 0]) for _ in range(5)] == [0, 10, 20, 30, 40]
    with pytest.raises(UnreadableMediaError, match=r"frame5.png is cut short"):
        next(frames)


def test_pictures_of_several_sizes_are_refused(folder):
    Image.new("RGB", (48, 40)).save(folder / "frame12.png")
    with pytest.raises(UserError, match="several sizes, 48x32 and 48x40"):
        media.open_frames(folder)


def test_pictures_on_their_side_are_stood_up(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(2):
        Image.new("RGB", (48, 32)).save(tmp_path / f"{number}.jpg", exif=exif)
    clip = media.open_frames(tmp_path)
    assert (clip.width, clip.height) == (32, 48)
    assert {frame.shape for frame in clip} == {(48, 32, 3)}


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(UnreadableMediaError, match="folder without pictures"):
        media.open_frames(tmp_path)
