"""The page to try it on: a Gradio app over one loaded pipeline a device, for people and for programs."""

from .fields import Option
from .page import Page, TakeOrder
from .serving import serve
from .workshop import Order, Workshop

__all__ = ["Option", "Order", "Page", "TakeOrder", "Workshop", "serve"]
