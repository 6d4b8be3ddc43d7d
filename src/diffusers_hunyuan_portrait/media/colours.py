"""High dynamic range brought to 8-bit sRGB: PQ and HLG pictures as a screen of 203 nits shows them.

The curve is that of Report ITU-R BT.2390, section 5.4.1: up to a knee pictures are as bright as they were made,
above it they are compressed, so that the brightest a clip is taken to have becomes white.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float32]

PQ, HLG = 16, 18  # transfer characteristics of ITU-T H.273, section 8.2
WHITE_NITS = 203  # the reference white of Report ITU-R BT.2408, which SDR white stands for
PEAK_NITS = 1000  # the brightest that is told apart: what most films are made for, and what HLG is defined at
CODES = 65536  # of 16 bits
# Recommendation ITU-R BT.2087: linear light of BT.2020's primaries in those of BT.709, which are sRGB's.
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)


def to_srgb(codes: npt.NDArray[np.uint16], transfer: int) -> npt.NDArray[np.uint8]:
    """RGB of BT.2020 in 16 bits, (H, W, 3), by `PQ` or `HLG`, as 8-bit sRGB."""
    nits = _pq_table()[codes] if transfer == PQ else _hlg_nits(codes)
    brightest = nits.max(axis=-1, keepdims=True)
    # One factor for the three of a pixel keeps its hue.
    light = nits * (tone_map(brightest) / np.maximum(brightest, 1e-6))
    linear = (light / WHITE_NITS) @ BT2020_TO_BT709.T
    return _srgb_table()[(linear.clip(0, 1) * (CODES - 1) + 0.5).astype(np.uint16)]


def pq_to_nits(signal: Numbers) -> Numbers:
    """SMPTE ST 2084: signal in [0, 1] to nits in [0, 10000]."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.asarray(signal, np.float64) ** (1 / m2)
    return (10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)).astype(np.float32)


def nits_to_pq(nits: Numbers) -> Numbers:
    """The inverse of `pq_to_nits`."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (np.asarray(nits, np.float64) / 10000) ** m1
    return (((c1 + c2 * power) / (1 + c3 * power)) ** m2).astype(np.float32)


def hlg_to_scene(signal: Numbers) -> Numbers:
    """The inverse of BT.2100's HLG OETF: signal in [0, 1] to linear light of the scene in [0, 1]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.asarray(signal, np.float64)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


def tone_map(nits: Numbers) -> Numbers:
    """BT.2390's curve from a picture of `PEAK_NITS` to a screen of `WHITE_NITS`, in PQ's signal."""
    peak, white = (float(nits_to_pq(np.float32(value))) for value in (PEAK_NITS, WHITE_NITS))
    signal, most = np.minimum(nits_to_pq(nits) / peak, 1), white / peak
    knee = 1.5 * most - 0.5
    t = np.maximum(signal - knee, 0) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    return pq_to_nits(np.where(signal < knee, signal, bent) * peak)


def _hlg_nits(codes: npt.NDArray[np.uint16]) -> Numbers:
    """BT.2100's OOTF on a screen of `PEAK_NITS`: brighter parts of the scene get brighter still, by gamma 1.2."""
    scene = _hlg_table()[codes]
    luminance = (scene @ BT2020_LUMINANCE)[..., None]
    return PEAK_NITS * np.maximum(luminance, 1e-6) ** np.float32(0.2) * scene


@lru_cache
def _pq_table() -> Numbers:
    return pq_to_nits(_signals())


@lru_cache
def _hlg_table() -> Numbers:
    return hlg_to_scene(_signals())


@lru_cache
def _srgb_table() -> npt.NDArray[np.uint8]:
    linear = _signals()
    signal = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * signal).astype(np.uint8)


def _signals() -> Numbers:
    return np.linspace(0, 1, CODES, dtype=np.float32)
