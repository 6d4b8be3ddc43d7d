"""Training: the stages, each one module whose forward is the loss, and the loop that they run in."""

from .adapter import AdapterTraining
from .config import TrainingConfig, make_config, read_config
from .consistency import ConsistencyTraining
from .examples import ExampleOptions, Sizes, make_example
from .loop import TrainingResult, export, train
from .objective import ObjectiveOptions
from .portrait import PortraitTraining

__all__ = [
    "AdapterTraining",
    "ConsistencyTraining",
    "ExampleOptions",
    "ObjectiveOptions",
    "PortraitTraining",
    "Sizes",
    "TrainingConfig",
    "TrainingResult",
    "export",
    "make_config",
    "make_example",
    "read_config",
    "train",
]
