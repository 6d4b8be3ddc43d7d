"""Show what each control of the motion does, in a picture: a row for each setting, a column for each moment.

    python examples/show_controls.py docs/drawn-faces-controls.png

A drawn portrait takes on the motion of somebody else, by the packaged model `drawn-faces`.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compare_videos import NUM_MOMENTS, STRIP_TILE, resize
from PIL import Image

from diffusers_hunyuan_portrait import load_pipeline
from diffusers_hunyuan_portrait.evaluation import make_pairs
from diffusers_hunyuan_portrait.evaluation.run import INPUT_SIZE, WITHOUT_PADDING
from diffusers_hunyuan_portrait.media.composing import write_label
from diffusers_hunyuan_portrait.progress import no_progress

PAIR = 3  # of the fixed pairs: one whose driver turns the head a good deal, and speaks
LABEL_WIDTH = 190  # pixels
SAMPLING = {"num_inference_steps": 10, "appearance_guidance_scale": 1.0, "motion_guidance_scale": 1.0}
# What a row is called: arguments of `prepare_conditions`, and of the call.
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as it is": ({}, {}),
    "--motion-scale 0.4": ({}, {"motion_scale": 0.4}),
    "--motion-scale 1.4": ({}, {"motion_scale": 1.4}),
    "--head-scale 0": ({"head_scale": 0.0}, {}),
    "--head-scale 2": ({"head_scale": 2.0}, {}),
    "--head relative": ({"head": "relative"}, {}),
    "--crop each": ({"crop": "each"}, {}),
    "--expression-only": ({"head": "relative", "head_scale": 0.0, "crop": "each"}, {}),
    "motion guidance 2": ({}, {"motion_guidance_scale": 2.0}),
    "both guidances 2": ({}, {"motion_guidance_scale": 2.0, "appearance_guidance_scale": 2.0}),
}


def main(output: Path) -> None:
    pipe, pair = load_pipeline("drawn-faces"), make_pairs(PAIR + 1)[PAIR]
    windows = {name: value for name, value in WITHOUT_PADDING.items() if name != "pad_frames"}
    portrait, driving = pair.draw_portrait(INPUT_SIZE), pair.draw_driving(INPUT_SIZE)
    shown = np.linspace(0, len(driving) - 1, NUM_MOMENTS).round().astype(int)
    rows = [("driver", driving[shown]), ("portrait", np.repeat(portrait[None], NUM_MOMENTS, axis=0))]
    for name, (followed, called) in ROWS.items():
        conditions = pipe.prepare_conditions(
            portrait,
            driving,
            detector=pair.detector(),
            pad_frames=WITHOUT_PADDING["pad_frames"],
            on_progress=no_progress,
            **followed,
        )
        result: Any = pipe(
            conditions=conditions,
            generator=torch.Generator().manual_seed(0),
            output_type="np",
            on_progress=no_progress,
            **SAMPLING | windows | called,
        )
        rows.append((name, (result.frames[0][shown] * 255).round().astype(np.uint8)))
    strips = [
        np.hstack([write_label(name, LABEL_WIDTH, STRIP_TILE), *(resize(each, STRIP_TILE) for each in pictures)])
        for name, pictures in rows
    ]
    # 256 colours are enough to see what moves, in a third of the bytes.
    Image.fromarray(np.vstack(strips)).quantize(256).save(output, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    main(arguments.output)
    print(arguments.output)
