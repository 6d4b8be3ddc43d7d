"""Tells how well a model animates drawn faces: tables on standard output, and the bars that it does not reach.

python recipes/drawn_faces/evaluate.py MODEL_FOLDER --json figures.json
"""

import argparse
import json
import sys
from pathlib import Path

from comparing import READER, SAMPLING

from diffusers_hunyuan_portrait import load_pipeline
from diffusers_hunyuan_portrait.cli.display import StageProgress
from diffusers_hunyuan_portrait.evaluation import MotionReader, check_bars, evaluate, make_pairs
from diffusers_hunyuan_portrait.evaluation.pairs import SETS
from diffusers_hunyuan_portrait.evaluation.run import WITHOUT_PADDING


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="as `hunyuan-portrait animate --model` takes it")
    parser.add_argument("--pairs", type=int, default=50, help="how many (50)")
    parser.add_argument("--set", choices=SETS, default="test", help="which; choose settings by validation (test)")
    steps, *scales = SAMPLING.values()
    parser.add_argument("--steps", type=int, default=steps, help=f"denoising steps ({steps})")
    for name, scale in zip(("appearance", "motion"), scales, strict=True):
        parser.add_argument(f"--{name}-guidance", type=float, default=scale, help=f"guidance scale ({scale})")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    parser.add_argument("--without-padding", action="store_true", help="a third of the work, for comparisons")
    parser.add_argument("--without-control", action="store_true", help="half of the work")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()

    with StageProgress() as progress:
        figures = evaluate(
            load_pipeline(options.model),
            make_pairs(options.pairs, options.set),
            MotionReader.load(READER),
            control=not options.without_control,
            seed=options.seed,
            num_inference_steps=options.steps,
            appearance_guidance_scale=options.appearance_guidance,
            motion_guidance_scale=options.motion_guidance,
            on_progress=progress,
            **(WITHOUT_PADDING if options.without_padding else {}),
        )
    print(figures.to_markdown())
    if options.json is not None:
        options.json.write_text(json.dumps(figures.to_dict(), indent=1) + "\n")
    failures = check_bars(figures)
    print("\n".join(failures) or "Every bar is reached.")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
