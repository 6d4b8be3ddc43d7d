"""Makes this package known to diffusers, so that its own loader finds our classes in a saved pipeline."""

import sys

import diffusers

from .model_folder import LIBRARY
from .pipeline import HunyuanPortraitPipeline


def register_with_diffusers() -> None:
    """Lets `DiffusionPipeline.from_pretrained` load our models, and `save_pretrained` write our short name.

    diffusers looks a pipeline's class up as an attribute of its own, and a component's library among the modules
    of its pipelines, before it would run any code out of a folder. The name that is saved comes from a table that
    is private: where a later version has none, the module of each class is saved in its place.
    """
    diffusers.HunyuanPortraitPipeline = HunyuanPortraitPipeline
    setattr(diffusers.pipelines, LIBRARY, sys.modules[LIBRARY])
    try:
        from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES
    except ImportError:
        return
    LOADABLE_CLASSES[LIBRARY] = {"ModelMixin": ["save_pretrained", "from_pretrained"]}
