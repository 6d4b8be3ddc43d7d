"""How fast faces are drawn on one core, and how often and how exactly MTCNN finds them.

python benchmarks/drawn_faces.py [--faces 300]
"""

import argparse
import time

import numpy as np

from diffusers_hunyuan_portrait.drawn_faces import Identity, draw, locate, random_motion
from diffusers_hunyuan_portrait.face import Detector, load_detector

CLIPS, CLIP_FRAMES = 20, 25


def frames_a_second(size: int) -> float:
    """Of random clips of several people, each person's first picture included; in this process's own time."""
    rng = np.random.default_rng(0)
    clips = [(Identity.random(rng), random_motion(rng, CLIP_FRAMES)) for _ in range(CLIPS)]
    started = time.process_time()
    for identity, motions in clips:
        for motion in motions:
            draw(identity, motion, size)
    return CLIPS * CLIP_FRAMES / (time.process_time() - started)


def found_by(detector: Detector, faces: int, size: int) -> tuple[float, float, float]:
    """The share of random scenes in which a face is found, and its points' mean error and 95th percentile.

    Errors are in distances between the eyes.
    """
    rng, errors = np.random.default_rng(1), []
    for _ in range(faces):
        identity, motion = Identity.random(rng), random_motion(rng, 1)[0]
        truth = locate(identity, motion, size).landmarks
        seen = detector.detect(draw(identity, motion, size))
        if seen:
            points = max(seen, key=lambda face: face.area).landmarks
            errors.append(np.linalg.norm(points - truth, axis=1) / np.linalg.norm(truth[1] - truth[0]))
    return len(errors) / faces, float(np.mean(errors)), float(np.percentile(errors, 95))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=300, help="how many faces MTCNN is asked for")
    faces = parser.parse_args().faces
    for size in (64, 128, 256):
        print(f"{size:4} pixels: {frames_a_second(size):4.0f} frames a second")
    detector = load_detector("mtcnn")
    for size in (128, 256):
        share, mean, most = found_by(detector, faces, size)
        print(
            f"{size:4} pixels: MTCNN finds {share:.1%} of {faces} faces, its points {mean:.3f} eye distances off, "
            f"95 % of them less than {most:.3f}"
        )


if __name__ == "__main__":
    main()
