"""Several processes that share a run get what one gets by itself; one that dies ends it for all."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import several_ranks
import torch
from runs import distance
from safetensors.torch import load_file

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.sampling import Ranks

SCRIPT = Path(several_ranks.__file__)
# Predictions are added up in another order, by sums of few numbers; relative to the whole tensor's norm.
ROUNDING = 1e-5


def start(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    return subprocess.run(command, cwd=SCRIPT.parent, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def alone(tiny_model_dir) -> Iterator[dict[str, torch.Tensor]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as each of several has: more would add up otherwise in the networks too
    yield several_ranks.run_all(hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=[2, 3])
def shared(request, tiny_model_dir, tmp_path_factory) -> list[dict[str, torch.Tensor]]:
    """What each process found."""
    folder = tmp_path_factory.mktemp("ranks")
    done = start(tiny_model_dir, folder, request.param)
    assert done.returncode == 0, done.stderr
    return [load_file(folder / f"{rank}.safetensors") for rank in range(request.param)]


@pytest.mark.parametrize("name", several_ranks.CASES)
def test_all_get_what_one_gets_by_itself(name, shared, alone):
    for found in shared:
        for key in ("latents", "frames"):
            expected = alone[f"{name}.{key}"]
            assert torch.linalg.norm(found[f"{name}.{key}"] - expected) < ROUNDING * torch.linalg.norm(expected)


def test_without_a_seed_all_draw_the_same_noise(shared, alone):
    first, *others = (found["unseeded"] for found in shared)
    assert all(torch.equal(other, first) for other in others)
    assert distance(first, alone["unseeded"]) > 0.1


@pytest.mark.parametrize("count", [1, 2, 7, 12])
def test_work_is_divided_whole_and_evenly(count):
    parts = []
    for rank in range(3):
        ranks = Ranks()
        ranks.rank, ranks.size = rank, 3
        parts.append(ranks.part(count))
    assert [unit for part in parts for unit in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_that_dies_ends_the_run_with_a_message(tiny_model_dir, tmp_path):
    done = start(tiny_model_dir, tmp_path, 3, 1)
    for rank in (0, 2):
        said = (tmp_path / f"error-{rank}.txt").read_text()
        assert said.startswith("Another process of this run has ended or does not answer ("), done.stderr
