"""Measures what a regression test holds the shipped model against: five pairs, by several seeds.

    python recipes/drawn_faces/regression.py --seeds 4

Mean and standard deviation over the seeds go to `regression.json`.
"""

import argparse
import json

import numpy as np
from comparing import READER, SAMPLING

from diffusers_hunyuan_portrait import load_pipeline
from diffusers_hunyuan_portrait.evaluation import MotionReader, evaluate, make_pairs
from diffusers_hunyuan_portrait.evaluation.figures import RESULT
from diffusers_hunyuan_portrait.evaluation.run import WITHOUT_PADDING

PAIRS = 5
NAMES = ("psnr", "head", "face", "identity", "change")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4, help="how many (4)")
    options = parser.parse_args()
    pipe, reader, rows = load_pipeline("drawn-faces"), MotionReader.load(READER), []
    for seed in range(options.seeds):
        # Each pair of a run takes the next seed.
        settings = SAMPLING | WITHOUT_PADDING | {"seed": seed * PAIRS}
        figures = evaluate(pipe, make_pairs(PAIRS), reader, control=False, **settings)
        rows.append([getattr(figures.rows[RESULT], name) for name in NAMES])
        print(dict(zip(NAMES, rows[-1], strict=True)), flush=True)
    mean, deviation = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
    found = {name: {"mean": m, "deviation": d} for name, m, d in zip(NAMES, mean, deviation, strict=True)}
    told = {"sampling": SAMPLING, "figures": found}
    (READER.parent / "regression.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
