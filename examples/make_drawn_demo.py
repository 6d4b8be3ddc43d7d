"""Draw a portrait, a driving clip of somebody else, and what a perfect model would make of the two, for the demo.

    python examples/make_drawn_demo.py OUTPUT_FOLDER

writes portrait.png, driving.mp4 and truth.mp4 (256x256, 25 frames a second, 2 seconds), the same every time.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from diffusers_hunyuan_portrait.drawn_faces import Identity, random_motion
from diffusers_hunyuan_portrait.evaluation import Pair
from diffusers_hunyuan_portrait.media import VideoWriter

SIZE = 256  # pixels a side
NUM_FRAMES = 50
FRAME_RATE = 25
# Seeds of training are of another form, so no model has seen these people. MTCNN follows them in every frame.
SEED = 19


def make_pair(seed: int = SEED) -> Pair:
    """The demo's portrait, and the driver with the motion."""
    rng = np.random.default_rng(seed)
    identity, driver = Identity.random(rng), Identity.random(rng)
    return Pair(identity, random_motion(rng, 1)[0], driver, tuple(random_motion(rng, NUM_FRAMES, FRAME_RATE)))


def make_demo(folder: Path) -> list[Path]:
    """Writes the three files into `folder`, made if missing, and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pair, portrait = make_pair(), folder / "portrait.png"
    Image.fromarray(pair.draw_portrait(SIZE)).save(portrait)
    clips = {folder / "driving.mp4": pair.draw_driving(SIZE), folder / "truth.mp4": pair.draw_truth(SIZE)}
    for path, frames in clips.items():
        with VideoWriter(path, frame_rate=FRAME_RATE) as video:
            for frame in frames:
                video.write(frame)
    return [portrait, *clips]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output_folder", type=Path)
    for written in make_demo(parser.parse_args().output_folder):
        print(written)
