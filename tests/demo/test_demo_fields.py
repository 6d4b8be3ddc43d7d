"""The settings on the page: names, defaults and limits of the command line, and back to its words."""

import inspect

import pytest
from typer.main import get_command

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline
from diffusers_hunyuan_portrait.cli.demo import _options
from diffusers_hunyuan_portrait.cli.main import app
from diffusers_hunyuan_portrait.cli.wording import animate_command, video_of_words
from diffusers_hunyuan_portrait.demo.fields import Option, settings_of, words_of
from diffusers_hunyuan_portrait.errors import UserError

# Files, who signs and what is loaded are the server's to settle; and a codec that each browser plays.
SERVERS = {
    "portrait", "driving", "output", "compare", "preview", "certificate", "key", "no_provenance", "codec",
    "model", "accept_licences", "detector", "detector_path", "device", "dtype", "offload", "lora", "weights",
    "solver", "compile", "pose", "pose_path", "pose_eyes",
}  # fmt: skip


@pytest.fixture(scope="module")
def options() -> dict[str, Option]:
    return {option.name: option for option in _options()}


@pytest.fixture(scope="module")
def parameters() -> dict:
    """Of `animate`, as the command line takes them apart."""
    return {parameter.name: parameter for parameter in get_command(app).commands["animate"].params}


def test_they_are_those_of_the_command_line_but_for_what_the_server_settles(options, parameters):
    assert set(options) == set(parameters) - SERVERS - {"help"}


def test_names_and_defaults_are_those_of_the_command_line(options, parameters):
    for name, option in options.items():
        parameter = parameters[name]
        assert "--" + name.replace("_", "-") in parameter.opts, name
        assert option.default == parameter.default or (option.default, parameter.default) == (None, None), name
        assert option.help == parameter.help, name


def test_limits_are_what_the_command_line_refuses_beyond(options, tmp_path):
    """Its own and those of the pipeline's call."""
    command = animate_command()

    def order(name: str, value: float) -> None:
        files = (tmp_path / "portrait.png", tmp_path / "driving.mp4", tmp_path / "output.mp4")
        # The others so that this one alone can be wrong.
        video_of_words(command, *files, {"window_overlap": "0", "window_size": "1", name: str(value)})

    limited = {name: option for name, option in options.items() if (option.least, option.most) != (None, None)}
    assert {"steps", "seed", "window_size", "window_overlap", "motion_scale", "detect_every"} <= set(limited)
    for name, option in limited.items():
        for limit, beyond in ((option.least, -1), (option.most, 1)):
            if limit is None:
                continue
            order(name, limit)
            with pytest.raises(UserError):
                order(name, limit + beyond)


def test_fields_are_called_and_preset_like_their_options(options):
    for option in options.values():
        field = option.field()
        assert field.label == option.name.replace("_", " ").capitalize()
        assert field.info == option.help
        assert field.value == (option.default if option.default is not None else ""), option.name
        if hasattr(field, "minimum"):
            assert (field.minimum, field.maximum) == (option.least, option.most)


def test_defaults_are_those_of_the_pipelines_call(options):
    of_call = {
        name: parameter.default
        for name, parameter in inspect.signature(HunyuanPortraitPipeline.__call__).parameters.items()
    }
    names = {name: "num_inference_steps" if name == "steps" else name for name in options}
    shared = {name: in_call for name, in_call in names.items() if in_call in of_call}
    assert {"steps", "window_size", "window_overlap", "window_shift", "strength", "cache_interval"} <= set(shared)
    for name, in_call in shared.items():
        default = options[name].default
        number = float(default) if name.endswith("guidance_scale") else default
        assert number == of_call[in_call] or name == "fps", name  # which on the command line is the clip's own


def test_what_is_at_its_default_is_left_to_it(options):
    assert words_of(list(options.values()), [option.field().value for option in options.values()]) == {}


@pytest.mark.parametrize(
    ("name", "value", "words", "setting"),
    [
        ("steps", 4, "4", 4),
        ("steps", 4.0, "4", 4),
        ("seed", " 12 ", "12", 12),
        ("seed", "0", "0", 0),
        ("quality", "0", "0", 0),
        ("motion_scale", 0.5, "0.5", 0.5),
        ("motion_scale", 0, "0", 0.0),
        ("crop_only", True, "yes", True),
        ("head", "relative", "relative", "relative"),
        ("appearance_guidance_scale", "1:3", "1:3", "1:3"),
    ],
)
def test_values_become_words_and_settings(options, name, value, words, setting):
    given = words_of([options[name]], [value])
    assert given == {name: words}
    assert settings_of([options[name]], given) == {name: setting}
