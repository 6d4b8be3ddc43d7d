"""`hunyuan-portrait bench`: what it measures and counts, and how it refuses bad input. No time is asserted."""

import json

import pytest


@pytest.fixture
def bench(command, tmp_path):
    """Measures the tiny model; gives the exit code, the words, and what `--json` wrote."""

    def call(*options: object, model: str = "tiny"):
        file = tmp_path / "bench.json"
        words = ("--model", model, "--frames", 4, "--size", 64, "--steps", 2, "--device", "cpu", "--json", file)
        code, said = command("bench", *words, *options)
        return code, said, json.loads(file.read_text()) if file.exists() else None

    return call


def test_the_plain_setting_does_more_of_the_same(bench):
    code, said, facts = bench("--compare")
    assert code == 0, said
    plain, default = facts["runs"]
    assert (plain["setting"], default["setting"]) == ("plain", "default")
    assert (plain["unet_calls"], default["unet_calls"]) == (3, 2)  # equal scales need two of the three branches
    assert plain["window_step_tflop"] > 1.5 * default["window_step_tflop"]
    assert "plain ÷ default" in said
    for measured in (facts["load_s"], facts["detect_s"], facts["prepare_s"], facts["matrix_tflops"]):
        assert measured > 0
    for run in facts["runs"]:
        assert run["whole_s"] > run["window_step_s"] > 0
        assert run["host_bytes"] > 0


def test_without_a_comparison_there_is_one_run(bench):
    code, said, facts = bench()
    assert code == 0, said
    assert [run["setting"] for run in facts["runs"]] == ["default"]
    assert (facts["frames"], facts["size"], facts["steps"], facts["device"]) == (4, 64, 2, "cpu")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--offload", "model"], "GPU"),
        (["--dtype", "fp3"], "fp3"),
        (["--device", "abacus"], "abacus"),
        (["--json", "/nowhere/bench.json"], "/nowhere"),
    ],
)
def test_bad_input_is_told(bench, options, words):
    code, said, facts = bench(*options)
    assert (code, facts) == (2, None)
    assert said.count("Error:") == 1
    assert words in said
