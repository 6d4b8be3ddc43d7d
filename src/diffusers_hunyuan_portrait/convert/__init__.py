"""Published checkpoints to a folder that `HunyuanPortraitPipeline.from_pretrained` loads."""
