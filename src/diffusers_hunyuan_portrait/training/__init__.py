"""Training: the stages, each one module whose forward is the loss, and the loop that they run in."""

from .examples import ExampleOptions, Sizes, make_example
from .objective import ObjectiveOptions
from .portrait import PortraitTraining

__all__ = ["ExampleOptions", "ObjectiveOptions", "PortraitTraining", "Sizes", "make_example"]
