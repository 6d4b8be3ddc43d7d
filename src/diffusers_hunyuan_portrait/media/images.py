"""Read a portrait from a file, a PIL image or an array as upright 8-bit RGB."""

import io
import logging
import os
import re
import warnings
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, ImageColor, ImageOps, UnidentifiedImageError

from ..errors import UnreadableMediaError, UserError
from ..limits import check_pixels, limit
from .paths import readable_file

logger = logging.getLogger(__name__)

PILLOWS_MEGAPIXELS = 178  # it opens nothing larger, whatever the limit is
MIN_SIDE = 32  # pixels; no face can be found in less
Image.init()
# Named one by one: Pillow also "opens" some videos and runs other programs for a few formats.
_WANTED = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "TGA", "JPEG2000")
STILL_FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)  # AVIF is missing from some builds
STILL_SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in STILL_FORMATS}
Colour: TypeAlias = tuple[int, int, int]  # RGB, 0 to 255
WHITE: Colour = (255, 255, 255)  # what shows through transparent pixels
_SRGB = ImageCms.createProfile("sRGB")

ImageSource: TypeAlias = "str | os.PathLike[str] | Image.Image | npt.ArrayLike"


def read_image(source: ImageSource, background: Colour = WHITE) -> npt.NDArray[np.uint8]:
    """Read a picture as it is meant to be seen.

    EXIF orientation is applied, transparency is laid over the background, colours of an ICC profile are brought
    to sRGB, and grey, palette, 16-bit and CMYK pictures become 8-bit RGB. The size is checked in the header,
    before any pixel is decoded. Of an animation the first picture is taken.

    Args:
        source: a path; a PIL image; or an array, (H, W, 3), (H, W, 4) or (H, W), uint8, uint16 or floats in
            [0, 1].
        background: what shows through transparent pixels.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UnreadableMediaError: the file is missing, empty, a folder, not an image, or cut short.
        UserError: a side is below `MIN_SIDE` pixels, the area is above the limit for pictures, or an array has
            another shape, type or range.
    """
    if isinstance(source, Image.Image):
        check_size(*source.size, "The image")
        return rgb_pixels(source, "The image", background)
    if isinstance(source, (str, os.PathLike)):
        return _read_file(readable_file(source, "image"), background)
    return _from_array(np.asarray(source), background)


def measure_image(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture in a file, by its header; see `read_image` for what is raised."""
    with _open_checked(readable_file(path, "image")) as image:
        return upright_size(image)


def parse_colour(text: str) -> Colour:
    """ "white", "#ff8800" or "rgb(255, 136, 0)" as RGB.

    Raises:
        UserError: it names no colour.
    """
    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError as error:
        raise UserError(f"{text!r} names no colour; use one such as white, black or #808080.") from error
    return red, green, blue


def check_size(width: int, height: int, name: str) -> None:
    """Raise `UserError` where a portrait of `width` by `height` pixels is too small or too large to work on."""
    if min(width, height) < MIN_SIDE:
        raise UserError(
            f"{name} has {width}x{height} pixels; give a picture of at least {MIN_SIDE} pixels a side."
        )
    check_pixels(width, height, name)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of `image` once its EXIF orientation is applied."""
    width, height = image.size
    if image.format == "PNG" and "exif" not in image.info:
        return width, height  # Pillow would decode it all to look behind the pixels
    lies_on_its_side = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (height, width) if lies_on_its_side else (width, height)


def is_still_image(path: Path) -> bool:
    """Whether the file's header is that of a single still image."""
    try:
        with _open(path) as image:
            # A multi-picture JPEG of a telephone holds previews or depth, not motion.
            return image.format not in {"GIF", "WEBP", "PNG", "AVIF"} or not getattr(image, "is_animated", False)
    except UserError:
        return True  # an image too large to open
    except (OSError, SyntaxError, ValueError):
        return False


def _open(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow warns from 89 megapixels on, where `check_size` decides here, and of damage beside the pixels.
        warnings.simplefilter("ignore")
        try:
            return Image.open(path, formats=STILL_FORMATS)
        except Image.DecompressionBombError as error:
            pixels = re.search(r"\d{7,}", str(error))
            size = f"{int(pixels[0]) / 1e6:.0f} megapixels" if pixels else "too many pixels"
            most = min(limit("MEGAPIXELS"), PILLOWS_MEGAPIXELS)
            raise UserError(f"{path} has {size}; scale it down to at most {most} megapixels.") from error


def _read_file(path: Path, background: Colour) -> npt.NDArray[np.uint8]:
    with _open_checked(path) as image:
        return rgb_pixels(image, str(path), background)


def _open_checked(path: Path) -> Image.Image:
    try:
        image = _open(path)
    except UnidentifiedImageError as error:
        raise UnreadableMediaError(
            f"{path} is not an image that can be read; give a whole JPEG, PNG, WebP, TIFF, BMP or AVIF file."
        ) from error
    except (OSError, SyntaxError) as error:
        raise UnreadableMediaError(f"{path} cannot be read as an image: {error}.") from error
    try:
        check_size(*image.size, str(path))
    except UserError:
        image.close()
        raise
    return image


def rgb_pixels(image: Image.Image, name: str, background: Colour = WHITE) -> npt.NDArray[np.uint8]:
    """A PIL image of any mode and size as upright (H, W, 3) uint8 RGB; `name` is what errors call it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of harmless damage in what stands beside the pixels
            image.load()
            upright = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UnreadableMediaError(
            f"{name} is cut short or damaged ({error}); give a whole image file."
        ) from error
    if upright.mode.startswith("I") or upright.mode == "F":
        return np.repeat(to_8_bit(_wide_grey(upright, name))[..., None], 3, axis=2)
    profile = image.info.get("icc_profile")
    if not upright.has_transparency_data:
        return np.array(_in_srgb(upright, profile, name))
    above = upright.convert("RGBA")
    seen = _in_srgb(above.convert("RGB"), profile, name)
    seen.putalpha(above.getchannel("A"))
    below = Image.new("RGBA", above.size, (*background, 255))
    return np.array(Image.alpha_composite(below, seen).convert("RGB"))


def _in_srgb(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """`image` in RGB, with its colours brought from those of its ICC profile to sRGB."""
    if profile and image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            seen = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            # A profile for another kind of picture, or a damaged one; every viewer shows the picture all the same.
            logger.warning("The colour profile of %s cannot be used (%s); it is taken for sRGB.", name, error)
        else:
            assert seen is not None  # only in-place conversions give none
            return seen
    return image.convert("RGB")


def _wide_grey(image: Image.Image, name: str) -> npt.NDArray[np.uint16]:
    """A grey picture with more than 8 bits as uint16, (H, W)."""
    levels = np.asarray(image)
    if levels.dtype.kind == "f" or levels.min() < 0 or levels.max() > 65535:
        raise UserError(
            f"{name} holds {levels.dtype} grey levels of unknown range; save it with 8 or 16 bits a channel."
        )
    return levels.astype(np.uint16)


def _from_array(array: npt.NDArray, background: Colour) -> npt.NDArray[np.uint8]:
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4):
        raise UserError(f"An image array must be (H, W, 3), (H, W, 4) or (H, W), not {array.shape}.")
    check_size(array.shape[1], array.shape[0], "The image array")
    levels = to_8_bit(array)
    if levels.shape[2] == 4:
        return rgb_pixels(Image.fromarray(levels), "The image array", background)
    return levels


def to_8_bit(array: npt.NDArray) -> npt.NDArray[np.uint8]:
    """A new uint8 array of the same shape from uint8, uint16 or floats in [0, 1]; others are a `UserError`."""
    if array.dtype == np.uint8:
        return array.copy()
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind == "f":
        if array.size and not (array.min() >= 0 and array.max() <= 1):  # NaN fails this too
            raise UserError(f"A picture of floats must lie in [0, 1], not in [{array.min():g}, {array.max():g}].")
        return np.rint(array * 255).astype(np.uint8)
    raise UserError(f"A picture must hold uint8, uint16 or floats in [0, 1], not {array.dtype}.")
