"""What the documents give to be copied is read by the code that will read it, and their table is the code's."""

import json
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from diffusers_hunyuan_portrait.models import HunyuanPortraitUNet
from diffusers_hunyuan_portrait.training import read_config
from diffusers_hunyuan_portrait.training.config import TrainingConfig
from diffusers_hunyuan_portrait.training.options import list_options

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples" / "training"


@pytest.mark.parametrize("stage", ["portrait", "adapter", "consistency"])
def test_each_stages_example_is_a_configuration_of_that_stage(stage):
    config = read_config(EXAMPLES / f"{stage}.yaml")
    assert config.stage == stage
    assert config.run.gradient_checkpointing
    assert config.run.mixed_precision == "bf16"


def test_the_portraits_example_has_the_papers_settings():
    config = read_config(EXAMPLES / "portrait.yaml")
    assert (config.optimizer.learning_rate, config.optimizer.max_grad_norm) == (1e-5, 0.99)


def test_fsdp_is_launched_with_the_blocks_that_the_unet_repeats():
    launch = load_config_from_file(str(EXAMPLES / "fsdp.yaml"))
    assert (launch.distributed_type, launch.num_processes) == ("FSDP", 8)
    wrapped = launch.fsdp_config["fsdp_transformer_layer_cls_to_wrap"].split(",")
    assert wrapped == HunyuanPortraitUNet._repeated_blocks


def test_deepspeed_is_launched_as_the_portraits_example_trains():
    launch = load_config_from_file(str(EXAMPLES / "deepspeed.yaml"))
    assert launch.distributed_type == "DEEPSPEED"
    settings = json.loads((REPOSITORY / launch.deepspeed_config["deepspeed_config_file"]).read_text())
    config = read_config(EXAMPLES / "portrait.yaml")
    assert settings["train_micro_batch_size_per_gpu"] == config.run.batch_size
    assert settings["gradient_accumulation_steps"] == config.run.gradient_accumulation_steps
    assert settings["gradient_clipping"] == config.optimizer.max_grad_norm
    assert settings["bf16"]["enabled"] == (config.run.mixed_precision == "bf16")


def test_the_table_of_settings_is_the_codes():
    rows = [
        f"| `{name}` | {f'`{value}`' * bool(value)} | {what} |"
        for name, value, what in list_options(TrainingConfig)
    ]
    text = (REPOSITORY / "src" / "diffusers_hunyuan_portrait" / "training" / "README.md").read_text(
        encoding="utf-8"
    )
    assert "\n".join(rows) in text
