"""A configuration is taken to the letter or refused with a sentence that names what is wrong."""

import pytest

from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.training.config import TrainingConfig, make_config, read_config
from diffusers_hunyuan_portrait.training.options import list_options

NEEDED = {"model": "m", "data": "d", "output": "o"}


def test_the_defaults_are_the_papers():
    config = make_config(NEEDED)
    assert config.stage == "portrait"
    assert config.optimizer.learning_rate == 1e-5
    assert config.optimizer.max_grad_norm == 0.99
    assert (config.objective.log_sigma_mean, config.objective.log_sigma_std) == (0.7, 1.6)
    assert config.objective.face_weight == 1


def test_a_file_is_read_with_numbers_as_people_write_them(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "model: m\ndata: d\noutput: o\n"
        "run: {num_frames: [4, 8], max_minutes: 3}\n"
        "optimizer: {learning_rate: 1e-4, new_parts_learning_rate: null}\n"  # YAML takes 1e-4 for a text
    )
    config = read_config(path)
    assert config.run.num_frames == (4, 8)
    assert config.run.max_minutes == 3.0
    assert config.optimizer.learning_rate == 1e-4
    assert config.optimizer.new_parts_learning_rate is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"optimizer": {"learning_rte": 1}}, "optimizer.learning_rte.*did you mean `optimizer.learning_rate`"),
        ({"sed": 1}, "did you mean `seed`"),
        ({"model": None}, "`model` is None; it must be a text"),
        ({"stage": "portait"}, "one of portrait, adapter, consistency"),
        ({"seed": True}, "`seed` is True; it must be a whole number"),
        ({"seed": -1}, "`seed` is -1; it must be at least 0"),
        ({"run": {"batch_size": 1.5}}, "`run.batch_size` is 1.5"),
        ({"run": {"num_frames": 8}}, "`run.num_frames` is 8; it must be a list"),
        ({"run": {"num_frames": [0]}}, "`run.num_frames` is 0"),
        ({"run": {"compile": "yes"}}, "true or false"),
        ({"run": 3}, "`run` is 3; it must hold settings"),
        ({"objective": {"drop_all": 1.5}}, "from 0 to 1"),
        ({"objective": {"face_weight": "much"}}, "must be a number"),
        ({"objective": {"face_weight": ".nan"}}, "must be a number"),
        ({"objective": {"drop_all": 0.6, "drop_motion": 0.6}}, "their sum at most 1"),
        ({"examples": {"cached_latents": True, "style_probability": 0.5}}, "no stylised copies"),
    ],
)
def test_what_is_wrong_is_named(change, told):
    with pytest.raises(UserError, match=told):
        make_config(NEEDED | change)


def test_what_is_missing_is_named():
    with pytest.raises(UserError, match="`output` is missing: folder for checkpoints"):
        make_config({"model": "m", "data": "d"})


@pytest.mark.parametrize("text", ["a: [", "just words", ""])
def test_a_file_that_holds_no_settings_is_refused(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"YAML|must hold settings"):
        read_config(path)


def test_a_file_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_config(tmp_path / "run.yaml")


def test_every_setting_says_what_it_means():
    settings = list(list_options(TrainingConfig))
    assert len(settings) > 40
    assert all(meaning for _, _, meaning in settings)
