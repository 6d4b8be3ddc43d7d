"""How fast a face is followed through a clip, and how far its points are from those of a search in every frame.

python benchmarks/following.py [CLIP] [--frames 120]

Without CLIP one is drawn, of 512×512 pixels.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from diffusers_hunyuan_portrait import face, media
from diffusers_hunyuan_portrait.drawn_faces import Identity, draw, random_motion

SIZE, CROP = 512, 256
CHUNK = 25  # frames whose intensity is taken together
INTERVALS = (1, 2, 4, 8, 16)


def draw_clip(path: Path, frames: int) -> Path:
    """A drawn person's clip."""
    rng = np.random.default_rng(3)
    person = Identity.random(rng)
    with media.VideoWriter(path, frame_rate=25) as writer:
        for motion in random_motion(rng, frames):
            writer.write(draw(person, motion, SIZE))
    return path


def in_turn(path: Path, detector: Any) -> list[np.ndarray]:
    """Points of each frame by a search of the whole: one thing after the other."""
    found = [detector.detect(frame) for frame in media.VideoReader(path)]
    return [max(faces, key=lambda one: one.area).landmarks for faces in found]


def followed(path: Path, detector: Any, every: int) -> list[np.ndarray]:
    """The same as a run does it: frames are read ahead, and crops are cut too."""
    clip = media.read_ahead(media.VideoReader(path))
    finder = face.FollowingDetector(detector, every) if every > 1 else detector
    return [frame.landmarks for frame in face.follow_driving(clip, finder, CROP)]


def levels(points: np.ndarray) -> np.ndarray:
    """(chunks, 2)"""
    return np.array(
        [face.intensity_levels(points[start : start + CHUNK]) for start in range(0, len(points), CHUNK)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path, nargs="?", help="a clip of one person (one is drawn)")
    parser.add_argument("--frames", type=int, default=120, help="of the drawn clip (120)")
    options = parser.parse_args()
    detector = face.load_detector("mtcnn")
    with tempfile.TemporaryDirectory() as folder:
        path = options.clip or draw_clip(Path(folder) / "drawn.mp4", options.frames)
        in_turn(path, detector)  # to warm up
        started = time.perf_counter()
        truth = np.array(in_turn(path, detector))
        rate = len(truth) / (time.perf_counter() - started)
        eyes = np.linalg.norm(truth[:, 1] - truth[:, 0], axis=1)
        print(f"a search of each frame in turn: {rate:.1f} frames a second")
        for every in INTERVALS:
            started = time.perf_counter()
            points = np.array(followed(path, detector, every))
            speed = len(points) / (time.perf_counter() - started)
            errors = np.linalg.norm(points - truth, axis=2) / eyes[:, None]
            apart = np.abs(levels(points) - levels(truth)).max()
            print(
                f"--detect-every {every}: {speed:.1f} frames a second, {speed / rate:.1f} times; points "
                f"{100 * np.percentile(errors, 95):.2f} % of the eyes' distance off at the 95th percentile, "
                f"levels at most {apart}"
            )


if __name__ == "__main__":
    main()
