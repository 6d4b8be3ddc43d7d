"""How both guidance scales change what the small model makes: figures for each pair of scales, and a plot.

    python recipes/drawn_faces/sweep_guidance.py --work FOLDER --minutes 30 --plot guidance.png

FOLDER keeps the figures; the model is the shipped one. It goes on when run again.
"""

from pathlib import Path

import matplotlib
import torch

matplotlib.use("Agg")
from comparing import make_parser, measure, report
from matplotlib import pyplot
from stretches import Work

from diffusers_hunyuan_portrait import load_pipeline
from diffusers_hunyuan_portrait.evaluation import Figures
from diffusers_hunyuan_portrait.evaluation.figures import RESULT

SCALES = (1.0, 1.5, 2.0, 3.0, 4.0)
POINTS = {f"{appearance:g}, {motion:g}": (appearance, motion) for appearance in SCALES for motion in SCALES}
# Title, and the figure.
PANELS = {
    "PSNR over the portrait repeated, dB": lambda figures: figures.psnr_gain,
    "error of head motion": lambda figures: figures.rows[RESULT].head,
    "error of face motion": lambda figures: figures.rows[RESULT].face,
    "error of identity": lambda figures: figures.rows[RESULT].identity,
    "frame-to-frame change": lambda figures: figures.rows[RESULT].change,
}


def plot(found: dict[str, Figures], path: Path) -> None:
    """A panel for each figure: over the motion's scale, with a line for each scale of the appearance."""
    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(4 * len(PANELS), 3.6), layout="constrained")
    for panel, (title, read) in zip(panels, PANELS.items(), strict=True):
        for appearance in SCALES:
            values = [read(found[f"{appearance:g}, {motion:g}"]) for motion in SCALES]
            panel.plot(SCALES, values, marker="o", label=f"{appearance:g}")
        panel.set(title=title, xlabel="motion guidance scale")
        panel.grid(alpha=0.3)
    panels[0].legend(title="appearance")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = make_parser(__doc__, num_pairs=8)
    parser.add_argument("--plot", type=Path, default=Path("guidance.png"), help="the picture (guidance.png)")
    options = parser.parse_args()

    work = Work(options.work, options.minutes)
    pipe = load_pipeline("drawn-faces", "cpu", torch.float32)

    def measure_point(name: str) -> Figures:
        appearance, motion = POINTS[name]
        with work.timed("guidance"):
            return measure(
                pipe,
                options.pairs,
                control=False,
                appearance_guidance_scale=appearance,
                motion_guidance_scale=motion,
            )

    found = report(work, "guidance", "appearance, motion", POINTS, measure_point)
    if found is not None:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
