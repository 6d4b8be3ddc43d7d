"""The drawn clips that the small model learns from, each a function of its number alone."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from diffusers_hunyuan_portrait.dataset import Clip, ClipWriter
from diffusers_hunyuan_portrait.drawn_faces import Identity, Motion, draw, locate, random_motion
from diffusers_hunyuan_portrait.evaluation import training_generator
from diffusers_hunyuan_portrait.evaluation.figures import HEAD

CLIPS = 0  # key of the training generator
NUM_FRAMES = 24
SIZE = 128  # pixels a side: more than the model makes, as drivers have
# Slow clips hold poses far from each other, so that a portrait is also asked to move far, as in use.
FRAME_RATES = (25.0, 12.0, 6.0, 3.0)
CLIPS_PER_SHARD = 64
# Heads of this share of the clips are nearly still. Under a moving head the face's own motion is a small part of
# the picture, and what describes it is forgotten before it is of use.
STILL_SHARE = 0.5
STILL_SWAY = 0.15  # of their sway that is left


def draw_clip(index: int) -> Clip:
    """Somebody new in a clip of 24 frames; `source` holds the true identity and motion as vectors."""
    rng = training_generator(CLIPS, index)
    identity, frame_rate = Identity.random(rng), FRAME_RATES[index % len(FRAME_RATES)]
    motions = random_motion(rng, NUM_FRAMES, frame_rate)
    if rng.random() < STILL_SHARE:
        motions = _hold_head(motions)
    faces = [locate(identity, motion, SIZE) for motion in motions]
    return Clip(
        frames=np.stack([draw(identity, motion, SIZE) for motion in motions]),
        landmarks=np.stack([face.landmarks for face in faces]),
        face_boxes=np.stack([face.box for face in faces]),
        frame_rate=frame_rate,
        source={
            "identity": identity.to_vector().tolist(),
            "motion": [motion.to_vector().tolist() for motion in motions],
        },
    )


def _hold_head(motions: Sequence[Motion]) -> list[Motion]:
    """The same motion of the face, with a head that sways little about where it is in the mean."""
    vectors = np.stack([motion.to_vector() for motion in motions])
    head = [Motion.names().index(name) for name in HEAD]
    rest = vectors[:, head].mean(0)
    vectors[:, head] = rest + STILL_SWAY * (vectors[:, head] - rest)
    return [Motion.from_vector(vector) for vector in vectors]


def write_clips(folder: Path, numbers: Sequence[int]) -> None:
    """Draws the clips of these numbers into shards; shards that are there already are kept."""
    with ClipWriter(folder, CLIPS_PER_SHARD) as writer, ProcessPoolExecutor() as pool:
        for clip in pool.map(draw_clip, numbers[writer.shard * CLIPS_PER_SHARD :], chunksize=8):
            writer.write(clip)


def true_motion(clip: Clip) -> np.ndarray:
    """(F, 13) in [-1, 1]."""
    return np.array(clip.source["motion"], dtype=np.float32)


def motion_from(clip: Clip, anchor: int) -> np.ndarray:
    """The motion seen from frame `anchor`, (F, 13): x, y and size relative to that frame's, all else as it is."""
    motion = true_motion(clip)
    relative = [Motion.names().index(name) for name in ("x", "y", "size")]
    motion[:, relative] = (motion[:, relative] - motion[anchor, relative]) / 2
    return motion
