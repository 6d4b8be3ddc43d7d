"""Make a portrait and a driving clip with sound from scikit-image's astronaut, for the demo and for tests.

    python examples/make_demo_inputs.py OUTPUT_FOLDER

writes portrait.png (512x512) and driving.mp4 (512x512, 25 frames a second, 2 seconds, a soft tone as AAC). The
picture is a public-domain NASA photograph; the clip is that picture with the head moved and the face warped.
"""

import argparse
import math
import tempfile
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.data import astronaut

from diffusers_hunyuan_portrait.media import VideoWriter

FRAME_RATE = 25
NUM_FRAMES = 50
SOUND_RATE = 44_100

# Where things are in the astronaut's picture, in pixels.
HEAD, HEAD_RADIUS = (225.0, 115.0), 125.0
MOUTH = (223.0, 141.0)
BROWS = ((205.0, 91.0), (247.0, 93.0))


def make_portrait() -> npt.NDArray[np.uint8]:
    """The picture that everything is made from, (512, 512, 3) uint8 RGB."""
    return astronaut()


def make_driving_frames(num_frames: int = NUM_FRAMES) -> Iterator[npt.NDArray[np.uint8]]:
    """The portrait's head turning, nodding and speaking: `num_frames` times (512, 512, 3) uint8 RGB.

    The same every time. Frame i shows second i / 25 of a motion that goes on without end.
    """
    picture = make_portrait()
    for index in range(num_frames):
        map_x, map_y = _where_from(picture.shape[:2], index / FRAME_RATE)
        yield cv2.remap(picture, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def _where_from(shape: tuple[int, int], seconds: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """For each pixel of the frame at `seconds`, the place in the portrait that it shows: x and y, (H, W)."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)  # (rows, columns)

    # The head: turned, scaled and shifted as a whole; shoulders and background are left where they are.
    turn = math.radians(5.0) * _wave(seconds, 0.5)
    scale = 1.0 + 0.035 * _wave(seconds, 0.35, 0.25)
    shift_x, shift_y = 9.0 * _wave(seconds, 0.4), 4.0 * _wave(seconds, 0.8, 0.1)
    from_x, from_y = x - HEAD[0] - shift_x, y - HEAD[1] - shift_y
    still_x = (math.cos(turn) * from_x + math.sin(turn) * from_y) / scale + HEAD[0]
    still_y = (math.cos(turn) * from_y - math.sin(turn) * from_x) / scale + HEAD[1]
    part_of_head = np.exp(-((np.hypot(x - HEAD[0], y - HEAD[1]) / HEAD_RADIUS) ** 4))
    x += part_of_head * (still_x - x)
    y += part_of_head * (still_y - y)

    # The face: the jaw drops below the line between the lips, the brows rise. `x` and `y` are portrait places.
    jaw = 7.0 * _pulse(seconds, 1.2)
    below = np.clip((y - (MOUTH[1] - 4)) / 22, 0, 1)
    drop = jaw * below**2 * (3 - 2 * below) * _bump(x, y, (MOUTH[0], MOUTH[1] + 14), 30, 26)
    brow = 4.0 * _pulse(seconds, 0.7)
    rise = brow * sum(_bump(x, y, centre, 18, 9) for centre in BROWS)
    return x.astype(np.float32), (y - drop + rise).astype(np.float32)


def _wave(seconds: float, a_second: float, phase: float = 0.0) -> float:
    """From -1 to 1, so many times a second."""
    return math.sin(2 * math.pi * (a_second * seconds + phase))


def _pulse(seconds: float, a_second: float) -> float:
    """From 0 to 1 and back, so many times a second, beginning at 0."""
    return 0.5 - 0.5 * math.cos(2 * math.pi * a_second * seconds)


def _bump(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    centre: tuple[float, float],
    width: float,
    height: float,
) -> npt.NDArray[np.float64]:
    """1 at the centre, falling smoothly to 0 over about twice `width` and `height`."""
    return np.exp(-(((x - centre[0]) / width) ** 2) - ((y - centre[1]) / height) ** 2)


def write_tone(path: Path, seconds: float) -> None:
    """A soft tone of changing loudness as a mono WAV file."""
    time = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    loudness = 0.12 * (0.6 - 0.4 * np.cos(2 * np.pi * 1.2 * time))
    tone = loudness * (np.sin(2 * np.pi * 220 * time) + 0.3 * np.sin(2 * np.pi * 440 * time))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SOUND_RATE)
        file.writeframes((tone * 32767).astype("<i2").tobytes())


def make_demo_inputs(folder: Path, num_frames: int = NUM_FRAMES) -> tuple[Path, Path]:
    """Write portrait.png and driving.mp4 into `folder`, made if missing, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    portrait, driving = folder / "portrait.png", folder / "driving.mp4"
    Image.fromarray(make_portrait()).save(portrait)
    with tempfile.TemporaryDirectory() as scratch:
        tone = Path(scratch) / "tone.wav"
        write_tone(tone, num_frames / FRAME_RATE)
        with VideoWriter(driving, frame_rate=Fraction(FRAME_RATE), sound_from=tone) as video:
            for frame in make_driving_frames(num_frames):
                video.write(frame)
    return portrait, driving


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output_folder", type=Path)
    for written in make_demo_inputs(parser.parse_args().output_folder):
        print(written)
