"""High dynamic range in 8-bit sRGB: the curves at known values, and clips that were encoded with them."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from media_clips import make_clip

from diffusers_hunyuan_portrait.media import VideoReader
from diffusers_hunyuan_portrait.media.colours import (
    HLG,
    PEAK_NITS,
    PQ,
    WHITE_NITS,
    hlg_to_scene,
    nits_to_pq,
    pq_to_nits,
    to_srgb,
    tone_map,
)


@pytest.mark.parametrize(
    ("signal", "nits"),
    # SMPTE ST 2084's own examples, and 58 % and 75 % as Report ITU-R BT.2408 has them for white and for a peak.
    [(0, 0), (0.508, 100), (0.581, 203), (0.752, 1000), (0.903, 4000), (1, 10000)],
)
def test_pq_is_the_standards(signal, nits):
    assert pq_to_nits(np.float32(signal)) == pytest.approx(nits, rel=0.005, abs=1e-3)
    assert nits_to_pq(np.float32(nits)) == pytest.approx(signal, abs=0.0006)


@pytest.mark.parametrize(("signal", "scene"), [(0, 0), (0.5, 1 / 12), (0.75, 0.265), (1, 1)])
def test_hlg_is_the_standards(signal, scene):
    assert hlg_to_scene(np.float32(signal)) == pytest.approx(scene, abs=5e-4)


def test_the_curve_leaves_what_is_below_its_knee_and_makes_the_peak_white():
    nits = np.array([0.01, 1, 18, 50, 85], np.float32)
    np.testing.assert_allclose(tone_map(nits), nits, rtol=1e-3)
    assert tone_map(np.float32(PEAK_NITS)) == pytest.approx(WHITE_NITS, rel=1e-3)
    assert tone_map(np.float32(9000)) == pytest.approx(WHITE_NITS, rel=1e-3)
    steps = np.diff(tone_map(np.linspace(0, 0.95 * PEAK_NITS, 500, dtype=np.float32)))
    assert (steps > 0).all()


def signal(nits: float) -> float:
    return float(nits_to_pq(np.float32(nits)))


def srgb(linear: float) -> int:
    return round(255 * (12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize(
    ("transfer", "value", "expected"),
    [
        (PQ, signal(20), srgb(20 / 203)),  # below the knee, as bright as it was
        (PQ, signal(1000), 255),
        (PQ, signal(5000), 255),
        (PQ, 0.0, 0),
        # 0.4² / 3 of the scene's light, by the gamma of a screen of 1,000 nits: 29.8 nits.
        (HLG, 0.4, srgb(1000 * (0.16 / 3) ** 1.2 / 203)),
        (HLG, 1.0, 255),
    ],
)
def test_greys_come_out_as_the_curve_says(transfer, value, expected):
    codes = np.full((4, 4, 3), round(value * 65535), np.uint16)
    np.testing.assert_allclose(to_srgb(codes, transfer), expected, atol=1)


def test_primaries_become_those_of_srgb():
    """BT.709's red at 20 nits, made of BT.2020's primaries by the inverse matrix."""
    red = 20 * np.array([0.6274, 0.0691, 0.0164])
    codes = np.rint(65535 * nits_to_pq(red.astype(np.float32))).astype(np.uint16)
    expected = np.array([srgb(20 / 203), 0, 0])
    # Four digits of the matrix leave 0.01 % of red in the others, and sRGB is steep at black.
    np.testing.assert_allclose(to_srgb(codes[None, None], PQ)[0, 0], expected, atol=3)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_clips_of_high_dynamic_range_are_shown_as_on_an_ordinary_screen(tmp_path, transfer):
    """HEVC in 10 bits, as telephones write it: five greys and three colours, flat each."""
    greys = [0.1, 0.25, 0.4, 0.5, 0.6]
    colours = np.array([*([grey] * 3 for grey in greys), [0.5, 0.3, 0.3], [0.3, 0.45, 0.3], [0.3, 0.3, 0.5]])
    blocks = np.repeat(np.repeat(colours.reshape(2, 4, 3), 32, axis=0), 32, axis=1)  # (64, 128, 3)
    file = tmp_path / "high.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx265", rate=Fraction(25))
        stream.height, stream.width, stream.pix_fmt = 64, 128, "yuv420p10le"
        stream.options = {"x265-params": "lossless=1:log-level=none"}
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, transfer, 9
        context.color_range = ColorRange.MPEG
        picture = av.VideoFrame.from_ndarray(np.rint(65535 * blocks).astype(np.uint16), format="rgb48le")
        for index in range(3):
            frame = picture.reformat(
                format="yuv420p10le", dst_colorspace=Colorspace.BT2020, dst_color_range=ColorRange.MPEG
            )
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    shown = next(iter(VideoReader(file)))
    expected = to_srgb(np.rint(65535 * blocks).astype(np.uint16), transfer)
    middles = np.s_[16::32, 16::32]
    # 10 bits over a smaller range hold a signal to 0.0006, which sRGB makes up to one level of; colours have two
    # more sums of rounded numbers.
    np.testing.assert_allclose(shown[middles].astype(int), expected[middles].astype(int), atol=3)


def test_ten_bits_of_ordinary_range_are_left_as_they_are(tmp_path):
    grey = np.full((64, 128, 3), 180, np.uint8)
    file = make_clip(
        tmp_path / "ten.mp4", video="libx265", pix_fmt="yuv420p10le", frames=3, size=(64, 128), picture=grey
    )
    np.testing.assert_allclose(next(iter(VideoReader(file))), 180, atol=1)
