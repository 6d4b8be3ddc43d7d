"""What diffusers' own tests ask of every pipeline, where the rest of this room does not ask it already."""

import copy

import diffusers
import pytest
import torch
from diffusers import StableVideoDiffusionPipeline, UNetSpatioTemporalConditionModel
from diffusers.models import attention_dispatch
from networks import TYPE_ARGUMENTS
from runs import distance, make_conditions, small_run
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

import diffusers_hunyuan_portrait as hp

NETWORKS = ["im_adapter", "motion_extractor", "pose_guider", "unet", "vae"]

# float32 sums in another order, where weights lie otherwise in memory: seen up to 1.4e-4
ROUNDING = 5e-4


@pytest.fixture(scope="module")
def expected(tiny_pipeline) -> torch.Tensor:
    return small_run(tiny_pipeline)


@pytest.fixture
def pipe(tiny_model_dir):
    """One that a test may change."""
    return hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir)


def types(pipe) -> dict[str, torch.dtype]:
    return {name: getattr(pipe, name).dtype for name in NETWORKS}


def all_in(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The motion extractor stays as it is."""
    return {**dict.fromkeys(NETWORKS, dtype), "motion_extractor": torch.float32}


# -- Saving and loading --------------------------------------------------------------------------------------


def test_saved_and_loaded_it_gives_the_same(tiny_pipeline, expected, tmp_path):
    tiny_pipeline.save_pretrained(tmp_path)
    loaded = hp.HunyuanPortraitPipeline.from_pretrained(tmp_path)
    assert loaded.components.keys() == tiny_pipeline.components.keys()
    assert loaded.id_encoder is None
    assert not any(getattr(loaded, name).training for name in NETWORKS)
    assert loaded.config.resolution == tiny_pipeline.config.resolution == 64
    assert distance(small_run(loaded), expected) < ROUNDING


def test_an_optional_component_is_saved_and_loaded(tiny_pipeline, tmp_path):
    components = {**tiny_pipeline.components, "id_encoder": hp.PoseGuider(8, 3, (4, 8))}  # any network will do
    hp.HunyuanPortraitPipeline(**components).save_pretrained(tmp_path)
    loaded = hp.HunyuanPortraitPipeline.from_pretrained(tmp_path)
    assert type(loaded.id_encoder) is hp.PoseGuider
    weights, saved = loaded.id_encoder.state_dict(), components["id_encoder"].state_dict()
    assert all(torch.equal(weights[key], saved[key]) for key in saved)
    assert hp.HunyuanPortraitPipeline.from_pretrained(tmp_path, id_encoder=None).id_encoder is None


def test_a_component_can_be_given(tiny_pipeline, tiny_model_dir):
    loaded = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir, unet=tiny_pipeline.unet)
    assert loaded.unet is tiny_pipeline.unet


def test_a_variant_in_pieces(tiny_model_dir, tmp_path):
    half = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir, dtype=torch.float16)
    half.save_pretrained(tmp_path, variant="fp16", max_shard_size="1MB")
    for name in NETWORKS:
        assert [file for file in (tmp_path / name).glob("*.safetensors") if "fp16" not in file.name] == []
    assert len(list((tmp_path / "unet").glob("*.fp16-0*.safetensors"))) > 1
    loaded = hp.HunyuanPortraitPipeline.from_pretrained(tmp_path, variant="fp16", dtype=torch.float16)
    for name in NETWORKS:
        weights, saved = getattr(loaded, name).state_dict(), getattr(half, name).state_dict()
        assert all(torch.equal(weights[key], saved[key]) for key in saved)
    with pytest.raises(OSError, match="diffusion_pytorch_model"):
        hp.HunyuanPortraitPipeline.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="variant=other"):
        hp.HunyuanPortraitPipeline.from_pretrained(tmp_path, variant="other")


@pytest.mark.filterwarnings("ignore:`torch_dtype` is deprecated:FutureWarning")
@pytest.mark.parametrize("loader", [hp.HunyuanPortraitPipeline, diffusers.DiffusionPipeline])
@pytest.mark.parametrize("argument", TYPE_ARGUMENTS)
def test_types(argument, loader, tiny_model_dir):
    loaded = loader.from_pretrained(tiny_model_dir, **{argument: torch.float16})
    assert types(loaded) == all_in(torch.float16)
    assert loaded.dtype == torch.float16
    each = {"unet": torch.bfloat16, "default": torch.float16}
    loaded = loader.from_pretrained(tiny_model_dir, **{argument: each})
    assert types(loaded) == {**all_in(torch.float16), "unet": torch.bfloat16}
    assert types(loader.from_pretrained(tiny_model_dir)) == all_in(torch.float32)


def test_each_component_in_its_own_type_runs(tiny_model_dir, expected):
    each = {"unet": torch.bfloat16, "pose_guider": torch.float16, "default": torch.float32}
    loaded = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir, dtype=each)
    assert types(loaded) == {**all_in(torch.float32), "unet": torch.bfloat16, "pose_guider": torch.float16}
    latents = small_run(loaded)
    assert ((latents - expected).abs().mean() / expected.std()).item() < 0.05  # seven bits of mantissa, two steps


@pytest.mark.parametrize(("option", "value"), [("low_cpu_mem_usage", False), ("device_map", "balanced")])
def test_ways_of_loading_that_change_nothing(option, value, tiny_model_dir, expected):
    loaded = hp.HunyuanPortraitPipeline.from_pretrained(tiny_model_dir, **{option: value})
    assert distance(small_run(loaded), expected) < ROUNDING


# -- Moving and rebuilding -----------------------------------------------------------------------------------


def test_to(pipe):
    assert pipe.to("cpu") is pipe
    assert pipe.device == torch.device("cpu")
    assert types(pipe.to(torch.float16)) == all_in(torch.float16)
    assert types(pipe.to("cpu", torch.bfloat16)) == all_in(torch.bfloat16)
    assert types(pipe.to(dtype=torch.float32, device="cpu")) == all_in(torch.float32)
    pipe.to("meta")
    assert {weight.device.type for name in NETWORKS for weight in getattr(pipe, name).parameters()} == {"meta"}


def test_rebuilt_from_its_components(tiny_pipeline, expected):
    rebuilt = hp.HunyuanPortraitPipeline(**tiny_pipeline.components)
    assert all(rebuilt.components[name] is component for name, component in tiny_pipeline.components.items())
    assert torch.equal(small_run(rebuilt), expected)


def test_a_deep_copy_is_its_own(tiny_pipeline, expected):
    copied = copy.deepcopy(tiny_pipeline)
    assert distance(small_run(copied), expected) < ROUNDING
    copied.unet.conv_out.weight.data.zero_()
    assert torch.equal(small_run(tiny_pipeline), expected)


def test_from_a_pipe_of_its_own_class(tiny_pipeline, expected):
    made = hp.HunyuanPortraitPipeline.from_pipe(tiny_pipeline)
    assert all(made.components[name] is component for name, component in tiny_pipeline.components.items())
    assert made.config.resolution == tiny_pipeline.config.resolution
    assert hp.HunyuanPortraitPipeline.from_pipe(tiny_pipeline, resolution=128).config.resolution == 128
    assert torch.equal(small_run(made), expected)


@pytest.mark.filterwarnings("ignore:`torch_dtype` is deprecated:FutureWarning")
@pytest.mark.parametrize("argument", TYPE_ARGUMENTS)
def test_from_a_pipe_in_another_type(argument, pipe):
    made = hp.HunyuanPortraitPipeline.from_pipe(pipe, **{argument: torch.bfloat16})
    assert types(made) == types(pipe) == all_in(torch.bfloat16)  # they share the weights
    assert small_run(made).isfinite().all()


def test_to_and_from_stable_video_diffusion(pipe, expected):
    """Their VAE and scheduler are the same; each needs its own UNet and what looks at the image."""
    unet = UNetSpatioTemporalConditionModel(**{k: v for k, v in pipe.unet.config.items() if k[0] != "_"})
    vision = CLIPVisionConfig(
        hidden_size=32,
        projection_dim=64,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=64,
        patch_size=32,
    )
    video = StableVideoDiffusionPipeline.from_pipe(
        pipe,
        unet=unet,
        image_encoder=CLIPVisionModelWithProjection(vision).eval(),
        feature_extractor=CLIPImageProcessor(),
    )
    assert video.vae is pipe.vae
    assert video.scheduler is pipe.scheduler
    video.set_progress_bar_config(disable=True)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    frames = video(picture, height=64, width=64, num_frames=2, num_inference_steps=1, output_type="pt").frames
    assert frames.shape == (1, 2, 3, 64, 64)

    ours = {name: getattr(pipe, name) for name in ("unet", "im_adapter", "motion_extractor", "pose_guider")}
    back = hp.HunyuanPortraitPipeline.from_pipe(video, **ours)
    assert back.vae is pipe.vae
    assert back.config.resolution == pipe.config.resolution
    assert torch.equal(small_run(back), expected)
    with pytest.raises(ValueError, match=r"expected .*im_adapter.* but only"):
        hp.HunyuanPortraitPipeline.from_pipe(video)


# -- Switches ------------------------------------------------------------------------------------------------


def test_the_progress_bar(tiny_pipeline, capsys):
    pipe = hp.HunyuanPortraitPipeline(**tiny_pipeline.components)
    settings = {"num_inference_steps": 2, "window_size": 2, "window_overlap": 0, "output_type": "latent"}
    conditions = make_conditions("bar", 4)
    pipe.set_progress_bar_config(desc="windows of all steps")
    pipe(conditions=conditions, **settings)
    shown = capsys.readouterr().err
    assert "windows of all steps: 100%" in shown
    assert "4/4" in shown
    pipe.set_progress_bar_config(disable=True)
    pipe(conditions=conditions, **settings)
    assert capsys.readouterr().err == ""


def test_an_attention_backend_for_a_run(tiny_pipeline, expected, monkeypatch):
    backends = attention_dispatch._AttentionBackendRegistry._backends
    name, kernel = attention_dispatch.AttentionBackendName._NATIVE_MATH, []
    native = backends[name]
    monkeypatch.setitem(backends, name, lambda *args, **kwargs: kernel.append(1) or native(*args, **kwargs))
    with attention_dispatch.attention_backend("_native_math"):
        assert distance(small_run(tiny_pipeline), expected) < ROUNDING
    used = len(kernel)
    assert used > 0
    small_run(tiny_pipeline)
    assert len(kernel) == used


def test_what_the_vae_lacks_is_said_by_diffusers(tiny_pipeline):
    """In place of both there is `decode_chunk_size`."""
    with pytest.raises(NotImplementedError, match="Slicing doesn't seem to be implemented"):
        tiny_pipeline.vae.enable_slicing()
    with pytest.raises(NotImplementedError, match="Tiling doesn't seem to be implemented"):
        tiny_pipeline.vae.enable_tiling()


@pytest.mark.parametrize("kind", ["enable_model_cpu_offload", "enable_sequential_cpu_offload"])
def test_offload_without_an_accelerator_is_refused_by_diffusers(kind, pipe):
    if torch.accelerator.is_available():
        pytest.skip("there is one")
    with pytest.raises(RuntimeError, match="requires accelerator, but not found"):
        getattr(pipe, kind)()
