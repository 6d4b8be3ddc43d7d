"""Writes the card of the small model from the record of its making and its figures.

python recipes/drawn_faces/card.py MODEL_FOLDER --work FOLDER --figures figures.json
"""

import argparse
import json
import os
import platform
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from comparing import SAMPLING
from huggingface_hub import ModelCardData
from make import PRETRAINED
from stretches import Work

from diffusers_hunyuan_portrait.evaluation import Figures, check_bars
from diffusers_hunyuan_portrait.evaluation.pairs import NUM_FRAMES
from diffusers_hunyuan_portrait.evaluation.reader import READER_SIZE

ALONE = ("drawing", "storing", "portrait")  # parts that have the whole machine; the pre-trained ones share it
CARD = """
# drawn-faces

A small HunyuanPortrait of this project's own: it animates one drawn portrait with the motion of another drawn
face, at {resolution}×{resolution} pixels, in {megabytes:.1f} MB. It has every part of the large model at a small
size, and no line of code of its own. It shows what the program does where the released weights are not at hand; of
photographs it knows nothing.

## How to use it

```sh
hunyuan-portrait animate portrait.png driving.mp4 -o animated.mp4 --model drawn-faces \\
    --steps {steps} --appearance-guidance-scale {appearance:g} --motion-guidance-scale {motion:g}
```

```python
import diffusers_hunyuan_portrait as hp

pipe = hp.load_pipeline("drawn-faces")
frames = pipe(
    image="portrait.png",
    driving_video="driving.mp4",
    num_inference_steps={steps},
    appearance_guidance_scale={appearance},
    motion_guidance_scale={motion},
).frames[0]
```

## How it was made

All its pictures are drawn by `diffusers_hunyuan_portrait.drawn_faces`; no photograph and no other model's weights
went into it. The autoencoder and the encoders of motion, identity and image were trained first, each by itself,
and then frozen; the rest was trained on them by the stage *portrait* of `hunyuan-portrait train`. The command is
`recipes/drawn_faces/make.py`. On {machine} it took
{minutes:.0f} minutes, as autoencoder and encoders were trained side by side:

{costs}

## Figures

Of {num_pairs} pairs of a person and a motion of {num_frames} frames that it was not trained on, against the drawn
truth, by {steps} steps with guidance scales of {appearance:g} and {motion:g}{how}.
Motion is the error of what a reader network sees, above the reader's own error on the truth, as a share of that of
the portrait repeated; the reader was trained apart from the model. Identity is the error of the person's
parameters, and change the mean difference of neighbouring frames, both relative to the truth's.

{figures}
{bars}

## Licence and limits

Apache-2.0. It is trained on drawn faces alone: other pictures come out as noise or as a drawn face. The reader
looks at pictures of {reader_size} pixels; smaller ones are enlarged for it.
"""


def write_card(folder: Path, record: dict[str, Any], figures: Figures, with_padding: bool = True) -> None:
    """Writes `README.md` into the model's folder; `with_padding`: whether the figures are of clips with it."""
    data = ModelCardData(
        library_name="diffusers",
        license="apache-2.0",
        pipeline_tag="image-to-video",
        tags=["hunyuan-portrait", "portrait-animation"],
    )
    minutes = {part: record[part]["minutes"] for part in chain(*PRETRAINED, ALONE)}
    rows = "\n".join(f"| {part} | {value:.1f} |" for part, value in minutes.items())
    longest = max(sum(minutes[part] for part in parts) for parts in PRETRAINED)
    failures = check_bars(figures)
    steps, appearance, motion = SAMPLING.values()
    text = CARD.format(
        resolution=json.loads((folder / "model_index.json").read_text())["resolution"],
        megabytes=sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6,
        machine=f"{os.cpu_count()} cores ({platform.machine()}, torch {torch.__version__})",
        minutes=sum(minutes[part] for part in ALONE) + longest,
        costs=f"| part | minutes |\n| --- | ---: |\n{rows}",
        num_pairs=figures.num_pairs,
        steps=steps,
        appearance=appearance,
        motion=motion,
        how="" if with_padding else ", each clip in one window without padding",
        num_frames=NUM_FRAMES,
        figures=figures.to_markdown(),
        bars="What it was meant to reach and does not:\n\n" + "\n".join(f"- {failure}" for failure in failures)
        if failures
        else "It reaches every bar that was set for it (`check_bars`).",
        reader_size=READER_SIZE,
    )
    (folder / "README.md").write_text(f"---\n{data.to_yaml()}\n---\n{text}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the model's folder")
    parser.add_argument("--work", type=Path, required=True, help="the folder of make.py")
    parser.add_argument("--figures", type=Path, required=True, help="what evaluate.py --json wrote")
    parser.add_argument("--without-padding", action="store_true", help="as evaluate.py was told")
    options = parser.parse_args()
    figures = Figures.from_dict(json.loads(options.figures.read_text()))
    write_card(options.model, Work(options.work, 0).record, figures, not options.without_padding)


if __name__ == "__main__":
    main()
