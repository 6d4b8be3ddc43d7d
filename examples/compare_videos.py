"""Put a portrait, its driving clip, the animated result and the truth beside each other, as a video or as a strip.

    python examples/compare_videos.py FOLDER OUTPUT

reads portrait.png, driving.mp4, animated.mp4 and truth.mp4 in FOLDER, as `make demo` leaves them. OUTPUT is a
video, with the four in each frame, or a .png, with a row for each and a column for each of 8 moments.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from diffusers_hunyuan_portrait.media import VideoReader, VideoWriter, read_image
from diffusers_hunyuan_portrait.media.composing import write_label

Picture = npt.NDArray[np.uint8]  # (height, width, 3) RGB

LABELS = ("Portrait", "Driver", "Result", "Truth")
VIDEO_TILE, STRIP_TILE = 256, 128  # pixels a side
LABEL_HEIGHT, LABEL_WIDTH = 32, 88  # pixels, above a tile and beside one
NUM_MOMENTS = 8


def read_moments(folder: Path, size: int) -> list[list[Picture]]:
    """For each frame the four pictures in the order of `LABELS`, each (size, size, 3).

    Raises:
        ValueError: the clips are not of one length.
    """
    portrait = read_image(folder / "portrait.png")
    clips = [VideoReader(folder / name) for name in ("driving.mp4", "animated.mp4", "truth.mp4")]
    return [[resize(picture, size) for picture in (portrait, *frames)] for frames in zip(*clips, strict=True)]


def compose_frames(moments: list[list[Picture]]) -> Iterator[Picture]:
    """The video: the four side by side, each under its label."""
    size = len(moments[0][0])
    header = np.hstack([write_label(label, size, LABEL_HEIGHT) for label in LABELS])
    for pictures in moments:
        yield np.vstack([header, np.hstack(pictures)])


def compose_strip(moments: list[list[Picture]], num_moments: int = NUM_MOMENTS) -> Picture:
    """The strip: a row for each of the four, behind its label, with moments spread evenly over the clip."""
    chosen = [moments[index] for index in np.linspace(0, len(moments) - 1, num_moments).round().astype(int)]
    rows = zip(*chosen, strict=True)
    return np.vstack(
        [
            np.hstack([write_label(label, LABEL_WIDTH, len(row[0])), *row])
            for label, row in zip(LABELS, rows, strict=True)
        ]
    )


def resize(picture: Picture, size: int) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))


def main(folder: Path, output: Path) -> None:
    if output.suffix == ".png":
        Image.fromarray(compose_strip(read_moments(folder, STRIP_TILE))).save(output, optimize=True)
        return
    with VideoWriter(output, frame_rate=VideoReader(folder / "driving.mp4").frame_rate) as video:
        for frame in compose_frames(read_moments(folder, VIDEO_TILE)):
            video.write(frame)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    main(arguments.folder, arguments.output)
    print(arguments.output)
