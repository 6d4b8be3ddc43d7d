"""Golden outputs, networks of the published size, and small runs of the pipeline that several tests compare."""

import functools
import json

import torch
from safetensors.torch import load_file
from synthetic import GOLDEN, normal, published_manifests, uniform, unit, weight

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.convert.layout import find_source

# The golden networks' bar, in deviations of the output: sums in another order differ by less than a tenth of it.
NETWORK_BAR = 1e-4
# The golden runs' bar: each step adds to that difference.
RUN_BAR = 1e-3

GOLDEN_RUNS = json.loads((GOLDEN / "pipeline_cases.json").read_text())


def golden(name: str) -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / f"{name}.safetensors")


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, in standard deviations of what is expected."""
    assert actual.shape == expected.shape
    return ((actual.float() - expected.float()).abs().max() / expected.float().std()).item()


def full_size(network_class, component: str):
    """A network of the published size with the weights that the golden files were made with."""
    with torch.device("meta"):
        network = network_class()
    manifests = published_manifests()

    @functools.lru_cache(maxsize=4)  # query, key and value are thirds of one published weight
    def published(file: str, key: str) -> torch.Tensor:
        return weight(key, manifests[file][key][0])

    weights = {}
    for key, tensor in network.state_dict().items():
        source = find_source(component, key)
        weights[key] = source.reader.read(published(source.file, source.key), tuple(tensor.shape))
    network.load_state_dict(weights, assign=True)
    return network.eval()


def make_conditions(
    key: str, num_frames: int, *, size: tuple[int, int] = (64, 64), pose: bool = False, pad_frames: int = 0
) -> hp.PortraitConditions:
    """Conditions for the tiny networks, by the golden files' rule."""
    return hp.PortraitConditions(
        portrait=uniform(key + "/ref", (1, 3, *size)) * 2 - 1,
        dino_image=normal(key + "/dino", (1, 3, 224, 224)),
        id_embedding=unit(key + "/id", (1, 512)),
        motion_tokens=normal(key + "/motion", (1, num_frames, 16, 64)),
        pose_images=uniform(key + "/pose", (1, 3, num_frames, *size)) if pose else None,
        pad_frames=pad_frames,
    )


def golden_run(name: str) -> dict:
    """The arguments of one of the golden runs, under our names."""
    case, key = GOLDEN_RUNS[name], f"pipeline/public/{name}"
    return {
        "conditions": make_conditions(key, case["num_frames"], pose=case.get("pose", False)),
        "num_inference_steps": case["num_inference_steps"],
        "window_size": case["frames_per_batch"],
        "window_overlap": case["overlap"],
        "window_shift": case["shift_offset"],
        "appearance_guidance_scale": tuple(case["g1"]),
        "motion_guidance_scale": tuple(case["g2"]),
        "decode_chunk_size": case["decode_chunk_size"],
        "strength": case.get("i2i", 1.0),
        "latents": normal(key + "/noise", (1, case["num_frames"], 4, 8, 8)),
    }


def small_run(pipe: hp.HunyuanPortraitPipeline, num_frames: int = 5, **changes):
    """Two steps on a short clip, two windows each; what comes out, latents unless told otherwise."""
    pipe.set_progress_bar_config(disable=True)
    settings = {
        "conditions": make_conditions("small", num_frames),
        "latents": normal("small/noise", (1, num_frames, 4, 8, 8)),
        "num_inference_steps": 2,
        "window_size": 4,
        "window_overlap": 1,
        "output_type": "latent",
    }
    return pipe(**{**settings, **changes}).frames


class Calls:
    """Counts the calls of a method of `owner`, and runs `then` after each."""

    def __init__(self, monkeypatch, owner, method: str, then=lambda count: None):
        self.count = 0
        self.arguments: list = []
        original = getattr(owner, method)

        def counted(*args, **kwargs):
            self.count += 1
            self.arguments.append((args, kwargs))
            result = original(*args, **kwargs)
            then(self.count)
            return result

        monkeypatch.setattr(owner, method, counted)
