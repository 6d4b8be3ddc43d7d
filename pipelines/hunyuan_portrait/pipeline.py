"""The pipeline of the installed package, for diffusers' `custom_pipeline=`."""

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline

__all__ = ["HunyuanPortraitPipeline"]
