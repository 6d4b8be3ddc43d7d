"""Makes this package known to diffusers, so that its own loader finds our classes in a saved pipeline."""

import diffusers

from .pipeline import HunyuanPortraitPipeline


def register_with_diffusers() -> None:
    """Lets `DiffusionPipeline.from_pretrained` load our folders, and `save_pretrained` write our short name.

    diffusers looks a pipeline's class up as an attribute of its own, and a component's library in a table that is
    private: where a later version has none, folders still load by `HunyuanPortraitPipeline.from_pretrained`.
    """
    diffusers.HunyuanPortraitPipeline = HunyuanPortraitPipeline
    try:
        from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES
    except ImportError:
        return
    LOADABLE_CLASSES[__name__.split(".")[0]] = {"ModelMixin": ["save_pretrained", "from_pretrained"]}
