"""The recipe of `drawn-faces` runs from nothing to a model, in stretches, and changes only what it says."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.drawn_faces import Motion
from diffusers_hunyuan_portrait.evaluation.figures import (
    REPEATED,
    RESULT,
    TRUTH,
    VideoFigures,
    summarise,
)

RECIPE = Path(__file__).parents[2] / "recipes" / "drawn_faces"


@pytest.fixture(scope="module")
def recipe():
    """The recipe's modules, which import each other as scripts beside each other do."""
    sys.path.insert(0, str(RECIPE))
    import ablate
    import card
    import comparing
    import components
    import make

    yield SimpleNamespace(make=make, ablate=ablate, card=card, comparing=comparing, components=components)
    sys.path.remove(str(RECIPE))


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory):
    """A folder in which two stretches have made a model that has seen next to nothing."""
    make = recipe.make
    folder = tmp_path_factory.mktemp("work")
    lengths = make.Lengths(
        clips=2,
        held_out=2,
        autoencoder=1,
        motion=1,
        identity=1,
        image=1,
        portrait=2,
        portrait_again=1,
        portrait_long=1,
    )
    assert not make.make(make.Work(folder, minutes=0), lengths)
    assert make.make(make.Work(folder, minutes=10), lengths)
    return folder


def test_what_comes_out_is_a_small_model_that_runs(made):
    files = [file for file in (made / "model").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 25e6
    assert max(file.stat().st_size for file in files) < 12e6
    pipe = hp.load_pipeline(made / "model", "cpu", torch.float32)
    picture = np.full((64, 64, 3), 100, np.uint8)
    output = pipe(
        conditions=hp.PortraitConditions(
            portrait=torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1,
            dino_image=torch.zeros(1, 3, 64, 64),
            id_embedding=torch.zeros(1, 64),
            motion_tokens=torch.zeros(1, 2, 4, 128),
        ),
        num_inference_steps=1,
        output_type="np",
    )
    assert output.frames[0].shape == (2, 64, 64, 3)


def test_every_part_and_its_minutes_are_on_record(recipe, made):
    parts = recipe.make.Work(made, 0).record
    pretrained = {"autoencoder", "motion", "identity", "image"}
    assert set(parts) == pretrained | {"drawing", "storing", "portrait"}
    assert all(part["minutes"] >= 0 for part in parts.values())
    assert parts["autoencoder"]["psnr_of_held_out"] > 5


def test_the_card_has_the_figures_and_the_minutes_of_the_whole(recipe, made, tmp_path):
    shutil.copytree(made / "model", tmp_path / "model")
    errors = {TRUTH: 0.1, REPEATED: 0.5, RESULT: 0.2}
    videos = {
        kind: VideoFigures(20, np.full(len(Motion.names()), error), error, 0.05) for kind, error in errors.items()
    }
    record = {name: {"minutes": 1.0} for name in recipe.make.Work(made, 0).record}
    recipe.card.write_card(tmp_path / "model", record, summarise([videos]))
    card = ModelCard.load(tmp_path / "model" / "README.md")
    assert card.data.license == "apache-2.0"
    assert "it took\n6 minutes" in card.text  # drawing, the longest of what is side by side: three parts, two more
    assert "| result | 20.00 | 25% | 25% | 2.00 | 1.00 |" in card.text
    assert "- PSNR is 0.00 dB over the portrait repeated" in card.text  # a bar that is not reached


def test_frozen_parts_come_out_as_they_were_pretrained(made):
    start, model = (
        hp.HunyuanPortraitPipeline.from_pretrained(made / name) for name in ("start", "portrait/long/model")
    )
    for name in ("vae", "id_encoder", "im_adapter.backbone", "motion_extractor.expression_encoder"):
        before, after = (_part(pipe, name).state_dict() for pipe in (start, model))
        assert all(torch.equal(after[key], value) for key, value in before.items()), name
    assert not torch.equal(model.unet.conv_in.weight, start.unet.conv_in.weight)


@pytest.mark.parametrize(
    ("name", "part", "is_there"),
    [
        ("full model", "motion_extractor.refiner.memory_bank", True),
        ("without memory bank", "motion_extractor.refiner.memory_bank", False),
        ("without ID features", "id_encoder", False),
        ("without IMAdapter", "im_adapter.adapters", False),
        ("full model", "im_adapter.adapters", True),
    ],
)
def test_a_variant_lacks_what_its_name_says_and_has_the_frozen_parts(recipe, made, name, part, is_there):
    pipe = recipe.components.make_variant(made / "start", *recipe.ablate.VARIANTS[name])
    found = _part(pipe, part)
    assert (found is not None and len(found) > 0 if part != "id_encoder" else found is not None) == is_there
    trained = hp.HunyuanPortraitPipeline.from_pretrained(made / "start")
    for kept in ("vae.encoder.conv_in.weight", "motion_extractor.expression_encoder.head.weight"):
        assert torch.equal(_part(pipe, kept), _part(trained, kept))


def test_motion_is_told_by_waves_that_are_alike_for_equal_motion_alone(recipe):
    from components import EXPRESSION_DIM, WAVE_AMPLITUDES, describe_motion

    rng = np.random.default_rng(0)
    vectors = rng.uniform(-1, 1, (200, len(Motion.names()))).astype(np.float32)
    waves = describe_motion(vectors)
    assert waves.shape == (200, EXPRESSION_DIM)
    # Sines and cosines of 200 draws: a parameter's mean square is its amplitude's square, within 10 %.
    sizes = np.square(waves).reshape(200, len(Motion.names()), -1).mean((0, 2))
    np.testing.assert_allclose(sizes, np.square(WAVE_AMPLITUDES), rtol=0.1)
    distances = np.linalg.norm(waves[:, None] - waves, axis=2) + 1e9 * np.eye(200)
    assert distances.min() > 1


def _part(pipe, name):
    found = pipe
    for step in name.split("."):
        found = getattr(found, step)
    return found


def test_a_comparison_goes_on_from_what_was_found_before(recipe, tmp_path):
    videos = {
        kind: VideoFigures(20, np.full(13, error), error, 0.05) for kind, error in ((TRUTH, 0.1), (REPEATED, 0.5))
    }
    figures, asked = summarise([videos]), []

    def find(name):
        asked.append(name)
        return figures

    collect, work = recipe.comparing.collect, recipe.make.Work
    assert collect(work(tmp_path, 0), "models", ["full model, seed 1", "other"], find) is None
    assert list(collect(work(tmp_path, 10), "models", ["other"], find)) == ["other"]
    found = collect(work(tmp_path, 10), "models", ["full model, seed 1", "other"], find)
    assert asked == ["other", "full model, seed 1"]
    assert list(found) == ["full model, seed 1", "other"]
    assert all(one.to_dict() == figures.to_dict() for one in found.values())
