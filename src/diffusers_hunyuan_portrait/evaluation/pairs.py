"""The fixed pairs that a model is judged by: a drawn portrait, a drawn clip of somebody else, and the truth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..drawn_faces import DrawnFaceDetector, Identity, Motion, draw, random_motion, transfer
from ..errors import UserError

NUM_FRAMES = 24  # of a driving clip
# The first number of every seed. Seeds that begin with one never give what those that begin with the other do, so
# that nothing a model is judged by was ever trained on; small numbers are left to plain seeds such as 0.
TRAINING, EVALUATION = 0x7261_6974, 0x6C61_7665
SETS = {"test": 1, "validation": 2}  # figures are told of the first; settings are chosen by the second


def training_generator(*key: int) -> np.random.Generator:
    """Random numbers for training, apart from those of every pair; another `key` gives others."""
    return np.random.default_rng([TRAINING, *key])


@dataclass(frozen=True)
class Pair:
    """A portrait and the motion of somebody else that it is to take on.

    Args:
        identity: who the portrait shows.
        pose: the portrait's own motion.
        driver: who the driving clip shows.
        driving: the driving clip's motion, frame by frame.
    """

    identity: Identity
    pose: Motion
    driver: Identity
    driving: tuple[Motion, ...]

    @property
    def truth(self) -> list[Motion]:
        """The motion of the portrait's person that the driving clip asks for, frame by frame."""
        return transfer(self.driving, self.pose)

    def draw_portrait(self, size: int) -> NDArray[np.uint8]:
        """The portrait, (size, size, 3) RGB."""
        return draw(self.identity, self.pose, size)

    def draw_driving(self, size: int) -> NDArray[np.uint8]:
        """The driving clip, (F, size, size, 3) RGB."""
        return _draw_clip(self.driver, self.driving, size)

    def draw_truth(self, size: int) -> NDArray[np.uint8]:
        """What a perfect model would make, (F, size, size, 3) RGB."""
        return _draw_clip(self.identity, self.truth, size)

    def detector(self) -> DrawnFaceDetector:
        """Knows the face in the portrait and in every frame of the driving clip."""
        scenes = [(self.identity, self.pose), *((self.driver, motion) for motion in self.driving)]
        return DrawnFaceDetector(scenes)


def make_pairs(count: int, name: str = "test") -> list[Pair]:
    """The first `count` pairs of a set, always the same.

    Args:
        name: "test" or "validation".

    Raises:
        UserError: there is no such set.
    """
    if name not in SETS:
        raise UserError(f"There is no set of pairs named {name!r}; there is {' and '.join(SETS)}.")
    return [_make_pair(np.random.default_rng([EVALUATION, SETS[name], index])) for index in range(count)]


def with_other_motion(pairs: Sequence[Pair]) -> list[Pair]:
    """The same pairs, each with the driving motion of the next; the last has that of the first.

    Held against the truth of the right motion, a model that is driven at all does much worse on them.

    Raises:
        UserError: there is no other motion, as there are fewer than two pairs.
    """
    if len(pairs) < 2:
        raise UserError(f"The control needs the motion of another pair; there is {len(pairs)}, use at least 2.")
    others = [*pairs[1:], pairs[0]]
    return [replace(pair, driving=other.driving) for pair, other in zip(pairs, others, strict=True)]


def _make_pair(rng: np.random.Generator) -> Pair:
    identity, driver = Identity.random(rng), Identity.random(rng)
    return Pair(identity, random_motion(rng, 1)[0], driver, tuple(random_motion(rng, NUM_FRAMES)))


def _draw_clip(identity: Identity, motions: Sequence[Motion], size: int) -> NDArray[np.uint8]:
    return np.stack([draw(identity, motion, size) for motion in motions])
