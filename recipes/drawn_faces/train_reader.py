"""Trains the reader that the drawn-faces model is judged by; stops after `--minutes`, and goes on when run again.

    python recipes/drawn_faces/train_reader.py --work FOLDER --minutes 30

Every picture is drawn for it and then spoilt as an autoencoder or a sampler would: blur, ringing, lost resolution,
compression, noise. At the end its weights and a table of its errors are written.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from stretches import Work, learn
from torch.nn.functional import smooth_l1_loss

from diffusers_hunyuan_portrait.drawn_faces import (
    MOTION_RANGES,
    Identity,
    Motion,
    draw,
    locate,
    random_motion,
    transfer,
)
from diffusers_hunyuan_portrait.evaluation import MotionReader, training_generator
from diffusers_hunyuan_portrait.evaluation.pairs import NUM_FRAMES
from diffusers_hunyuan_portrait.evaluation.reader import READER_SIZE

HERE = Path(__file__).parent
READER_SCENES, READER_DAMAGE, CHECKED_SCENES = 1, 2, 3  # keys of the training generator
BATCH_SIZE = 64
TIMES_SHOWN, SHOWN_AGAIN_AFTER = 5, 1000  # new faces
TOLD_SHARE = 0.3  # of the steps, in which it is told where the face is, as it cannot find it yet
TOLD_ERROR = 0.03  # of half the picture's side
LEARNING_RATE = 2e-3
NUM_CHECKED = 500  # pictures that the table is made of


class Scene(NamedTuple):
    """A drawn face and what is to be read from it."""

    picture: np.ndarray  # (128, 128, 3) uint8
    motion: np.ndarray  # (13,) in [-1, 1]
    identity: np.ndarray  # (n,) in [-1, 1]
    points: np.ndarray  # (5, 2), the picture's corners being (-1, -1) and (1, 1)


class SpoiltPictures:
    """Batches of drawn faces, spoilt, each with what is to be read from it: a function of the step alone.

    Drawing takes longer than learning, so each face is shown `TIMES_SHOWN` times, long apart and spoilt in
    another way each time; those still to be shown are kept.
    """

    def __init__(self) -> None:
        self.kept: dict[int, Scene] = {}

    def batch(self, step: int) -> tuple[torch.Tensor, ...]:
        """Pictures (64, 3, 128, 128) in [0, 1], and motion, identity and points of each."""
        shown = [self._show(index) for index in range(step * BATCH_SIZE, (step + 1) * BATCH_SIZE)]
        pictures, *numbers = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*shown, strict=True))
        return pictures.permute(0, 3, 1, 2), *numbers

    def _show(self, index: int) -> Scene:
        turn, times = divmod(index, TIMES_SHOWN)
        scene = turn - times * SHOWN_AGAIN_AFTER
        scene = turn if scene < 0 else scene  # at the beginning nothing is old enough
        if scene not in self.kept:
            self.kept[scene] = draw_scene(training_generator(READER_SCENES, scene))
        self.kept.pop(turn - TIMES_SHOWN * SHOWN_AGAIN_AFTER, None)
        shown = self.kept[scene]
        return shown._replace(picture=spoil(shown.picture, training_generator(READER_DAMAGE, index)))


def draw_scene(rng: np.random.Generator) -> Scene:
    """Somebody at some moment."""
    identity = Identity.random(rng)
    motion = random_moment(rng) if rng.random() < 0.7 else random_face(rng)
    points = (2 * locate(identity, motion, 1).landmarks - 1).astype(np.float32)
    return Scene(draw(identity, motion, READER_SIZE), motion.to_vector(), identity.to_vector(), points)


def random_moment(rng: np.random.Generator) -> Motion:
    """One frame of what a portrait is asked to do in evaluation."""
    moments = transfer(random_motion(rng, NUM_FRAMES), random_motion(rng, 1)[0])
    return moments[rng.integers(NUM_FRAMES)]


def random_face(rng: np.random.Generator) -> Motion:
    """Every parameter anywhere in its range, so that none can be guessed from the others."""
    return Motion(**{name: rng.uniform(low, high) for name, (low, high) in MOTION_RANGES.items()})


def spoil(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 to the same in float32, 0 to 1, with each kind of damage at its own chance."""
    side = len(picture)
    spoilt = picture
    if rng.random() < 0.5:  # as small as models make them
        small = int(rng.integers(side // 3, side))
        spoilt = cv2.resize(spoilt, (small, small), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.3:
        quality = int(rng.integers(25, 95))
        compressed = cv2.imencode(".jpg", spoilt, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        spoilt = cv2.imdecode(compressed, cv2.IMREAD_COLOR)
    spoilt = cv2.resize(spoilt, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    if rng.random() < 0.4:
        spoilt = cv2.GaussianBlur(spoilt, (0, 0), rng.uniform(0.3, 2.0))
    if rng.random() < 0.3:  # ringing: what is sharp, too sharp
        spoilt += rng.uniform(0, 1.5) * (spoilt - cv2.GaussianBlur(spoilt, (0, 0), rng.uniform(0.7, 2.0)))
    if rng.random() < 0.4:  # colours that drift from place to place
        drift = rng.normal(0, rng.uniform(0, 0.06), (4, 4, 3)).astype(np.float32)
        spoilt += cv2.resize(drift, (side, side), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.4:
        spoilt += rng.normal(0, rng.uniform(0, 0.06), spoilt.shape).astype(np.float32)
    return spoilt.clip(0, 1)


class ReaderLoss:
    """How far the reader is off, as a function of the step.

    Args:
        reader: being trained.
        steps: of the whole training.
    """

    def __init__(self, reader: MotionReader, steps: int):
        self.reader, self.pictures, self.told_until = reader, SpoiltPictures(), TOLD_SHARE * steps

    def __call__(self, step: int) -> torch.Tensor:
        pictures, true_motion, true_identity, true_points = self.pictures.batch(step)
        told = None
        if step < self.told_until:
            generator = torch.Generator().manual_seed(step)
            told = true_points + TOLD_ERROR * torch.randn(true_points.shape, generator=generator)
        motion, identity, points = self.reader(pictures, told)
        return (
            smooth_l1_loss(motion.float(), true_motion, beta=0.1)
            + 0.5 * smooth_l1_loss(identity.float(), true_identity, beta=0.1)
            + 3.0 * smooth_l1_loss(points, true_points, beta=0.02)
        )


def check(reader: MotionReader) -> dict[str, dict[str, dict[str, float]]]:
    """Of motion and identity, each parameter's mean |error| over its mean |deviation from the mean|.

    1 is a reader that sees nothing. On clean pictures as in evaluation, drawn at the reader's size ("128") and at
    half of it ("64").
    """
    scenes = []
    for index in range(NUM_CHECKED):
        rng = training_generator(CHECKED_SCENES, index)
        scenes.append((Identity.random(rng), random_moment(rng)))
    true = {
        "motion": (Motion.names(), np.stack([motion.to_vector() for _, motion in scenes])),
        "identity": (Identity.names(), np.stack([person.to_vector() for person, _ in scenes])),
    }
    errors = {}
    for size in (READER_SIZE, READER_SIZE // 2):
        read = reader.read(np.stack([draw(person, motion, size) for person, motion in scenes]))
        errors[str(size)] = {
            kind: _relative_errors(names, numbers, found)
            for (kind, (names, numbers)), found in zip(true.items(), read, strict=True)
        }
    return errors


def _relative_errors(names: Sequence[str], true: np.ndarray, read: np.ndarray) -> dict[str, float]:
    spread = np.abs(true - true.mean(axis=0)).mean(axis=0)
    error = np.abs(read - true).mean(axis=0)
    return {name: round(float(x), 4) for name, x in zip(names, error / spread, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="length of this stretch (30)")
    parser.add_argument("--steps", type=int, default=4000, help="of 64 pictures, of the whole training (4000)")
    parser.add_argument("--output", type=Path, default=HERE / "reader.safetensors")
    parser.add_argument("--work", type=Path, required=True, help="folder for what the next stretch goes on from")
    options = parser.parse_args()

    torch.manual_seed(0)
    reader, work = MotionReader(), Work(options.work, options.minutes)
    loss = ReaderLoss(reader, options.steps)
    if not learn(work, "reader", reader, loss, steps=options.steps, learning_rate=LEARNING_RATE):
        print("The stretch is over; run the same command again to go on.")
        return
    facts = {"steps": options.steps, "minutes": work.record["reader"]["minutes"]}
    reader.save(options.output, **{name: str(value) for name, value in facts.items()})
    errors = check(MotionReader.load(options.output))
    text = json.dumps({**facts, "relative_error": errors}, indent=1)
    options.output.with_suffix(".json").write_text(text + "\n")
    for size, kinds in errors.items():
        for kind, table in kinds.items():
            print(f"Mean error over mean deviation of the {kind}, on clean pictures of {size} pixels:")
            print("".join(f"  {name:20} {error:6.1%}\n" for name, error in table.items()))


if __name__ == "__main__":
    main()
