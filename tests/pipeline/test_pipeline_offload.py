"""Offload: a network's weights are there when they are used, and the result is as without.

On the CPU offloaded weights would still be at hand, and a network that is called past its hooks would go
unnoticed. So each kind is made to take them away: sequential offload keeps them on `meta` by itself, group offload
writes them to disk and leaves NaN behind, and model offload is held against what its hooks are told.
"""

import accelerate
import pytest
import torch
from diffusers.hooks import group_offloading
from networks import let_the_cpu_offload
from runs import distance, small_run
from synthetic import uniform

import diffusers_hunyuan_portrait as hp

NETWORKS = ["motion_extractor", "im_adapter", "pose_guider", "unet", "vae"]


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def pipe(request, tiny_model_dir):
    pipe = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir, dtype=request.param)
    yield pipe
    pipe.remove_all_hooks()


def work(pipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Every network of the pipeline at work: motion tokens, and pictures of a clip."""
    crops = uniform("crops", (2, 3, 256, 256))
    landmarks = uniform("landmarks", (2, 5, 2)) * 100
    tokens = pipe.encode_motion(crops, crops.flip(0), landmarks, pad_frames=1)
    return tokens, small_run(pipe, 3, output_type="pt", num_inference_steps=1)


def assert_same(results, expected) -> None:
    """But for rounding: weights that were moved may lie otherwise in memory, and are summed in another order.

    Seen: up to 1e-4 of the deviation in float32, and nothing in bfloat16, where a difference would begin at 2⁻⁸.
    """
    for result, reference in zip(results, expected, strict=True):
        assert result.isfinite().all()
        assert distance(result, reference) < (1e-3 if expected[0].dtype == torch.float32 else 0.05)


def test_sequential_offload(pipe, monkeypatch):
    expected = work(pipe)
    # diffusers names the device with an index, which accelerate moves weights to wrongly where it is a CPU.
    cpu_offload = accelerate.cpu_offload
    monkeypatch.setattr(
        accelerate, "cpu_offload", lambda network, device, **kwargs: cpu_offload(network, "cpu", **kwargs)
    )
    pipe.enable_sequential_cpu_offload(device="cpu")
    for name in NETWORKS:
        assert {weight.device.type for weight in getattr(pipe, name).parameters()} == {"meta"}
    assert_same(work(pipe), expected)
    assert {weight.device.type for weight in pipe.vae.parameters()} == {"meta"}


@pytest.mark.parametrize("kind", ["block_level", "leaf_level"])
def test_group_offload(kind, pipe, tmp_path, monkeypatch):
    """To disk, where weights come back as they were stored, as they do with streams on a GPU."""
    let_the_cpu_offload(monkeypatch)
    expected = work(pipe)
    kept_on_disk = torch.empty_like

    def missing(tensor, **kwargs):
        empty = kept_on_disk(tensor, **kwargs)
        return empty.fill_(float("nan")) if empty.is_floating_point() else empty.zero_()

    monkeypatch.setattr(group_offloading.torch, "empty_like", missing)
    if kind == "block_level":
        pipe.enable_group_offload(
            torch.device("cpu"), offload_type=kind, num_blocks_per_group=1, offload_to_disk_path=str(tmp_path)
        )
    else:  # diffusers names these files by layer alone, so that networks in one folder would share them
        for name in NETWORKS:
            getattr(pipe, name).enable_group_offload(
                torch.device("cpu"), offload_type=kind, offload_to_disk_path=str(tmp_path / name)
            )
    for name in NETWORKS:
        assert all(weight.isnan().all() for weight in getattr(pipe, name).parameters()), name
    assert_same(work(pipe), expected)


def test_model_offload(pipe):
    """Each network is moved before it works, and the one before it away."""
    expected = work(pipe)
    pipe.enable_model_cpu_offload(device="cpu")
    seen = []
    for name in NETWORKS:
        network = getattr(pipe, name)
        hook = network._hf_hook

        def told(module, *args, name=name, pre_forward=hook.pre_forward, **kwargs):
            seen.append(name)
            return pre_forward(module, *args, **kwargs)

        hook.pre_forward = told
    work(pipe)
    # Motion, described and then made tokens of; then the portrait by the VAE, its tokens, the black pose, two
    # branches of one window, the pictures.
    assert seen == [
        "motion_extractor",
        "motion_extractor",
        "vae",
        "im_adapter",
        "pose_guider",
        "unet",
        "unet",
        "vae",
    ]
    assert_same(work(pipe), expected)  # the first run has put the hooks back


def test_encoding_in_float32_leaves_half_precision_weights_alone(tiny_model_dir):
    half = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir, dtype=torch.float16)
    storage = {name: (weight.data_ptr(), weight.clone()) for name, weight in half.vae.named_parameters()}
    portrait = uniform("portrait", (1, 3, 64, 64)) * 2 - 1
    with torch.no_grad():
        image_latents, start = half._encode_portrait(portrait, 0.0, None)
        for name, weight in half.vae.named_parameters():
            assert weight.data_ptr() == storage[name][0]
            assert torch.equal(weight, storage[name][1])
        exact = half.vae.float().encode(portrait).latent_dist.mode()
    assert start.dtype == torch.float32
    assert image_latents.dtype == torch.float16
    # The float32 arithmetic of the same, rounded, weights: only then do they agree to float32's precision.
    assert distance(start[0], exact * half.vae.config.scaling_factor) < 1e-5
