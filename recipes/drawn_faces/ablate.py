"""The paper's Table 2 in small: what each part of the model is worth, beside what seeds alone change.

    python recipes/drawn_faces/ablate.py --work FOLDER --minutes 30

FOLDER is that of `make.py`, or a new one: the frozen parts are then the shipped model's. Every model starts from
the same ones and is trained for a sixth of the full run's steps. Figures come to `figures/ablation` there, at the
end as a table; it goes on when run again. When the clips are stored, two side by side, with a thread each
(OMP_NUM_THREADS=1), get further than one with two:

    ablate.py --work FOLDER --models "full model" "without intensity" …
"""

from typing import Any

from comparing import make_parser, measure, report, store_clips
from components import make_variant
from make import Lengths
from portrait import train_portrait
from stretches import Work

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline
from diffusers_hunyuan_portrait.evaluation import Figures

SHARE = 6  # of the steps of the full run's first short runs, and of its long ones, one part

# Name: seed, and what is other than in the full model.
VARIANTS: dict[str, tuple[int, dict[str, Any]]] = {
    "full model": (0, {}),
    "full model, seed 1": (1, {}),
    "full model, seed 2": (2, {}),
    "without memory bank": (0, {"motion_extractor": {"use_memory_bank": False}}),
    "without intensity": (0, {"motion_extractor": {"use_intensity": False}}),
    "without ID features": (0, {"id_encoder": None}),
    "without IMAdapter": (0, {"im_adapter": {"adapter_layers": ()}}),
    "IMAdapter as equation 5": (0, {"im_adapter": {"id_as_query": True}}),
}


def run_variant(work: Work, name: str, num_pairs: int, lengths: Lengths) -> Figures | None:
    """Trains and measures one; `None` where the stretch is over before."""
    if not store_clips(work):
        return None
    seed, changes = VARIANTS[name]
    folder = f"ablation/{name.replace(' ', '-').replace(',', '')}"
    start = work.folder / folder / "start"
    if not start.exists():
        make_variant(work.folder / "start", seed, changes).save_pretrained(start)
    few_steps = lengths.portrait // SHARE, lengths.portrait_long // SHARE
    if not train_portrait(work, folder, start, *few_steps, seed=seed):
        return None
    with work.timed(f"{folder}-measuring"):
        return measure(HunyuanPortraitPipeline.from_pretrained(work.folder / folder / "long" / "model"), num_pairs)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--models", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="all by default")
    options = parser.parse_args()
    work = Work(options.work, options.minutes)
    report(
        work,
        "ablation",
        "model",
        options.models,
        lambda name: run_variant(work, name, options.pairs, Lengths()),
    )


if __name__ == "__main__":
    main()
