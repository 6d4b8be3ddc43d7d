"""Computing in float32 with a network that is stored in another type."""

import torch
from torch.nn.functional import group_norm, linear
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only


class Float32Weights(TorchFunctionMode):
    """In a `with` statement, convolutions, linear layers and group norms cast their weights to float32 as they use
    them; the VAE's encoder has no others.

    The stored weights are left alone, because an offload hook may hold them anywhere and in its own copies.
    """

    WEIGHTED = (torch.conv2d, linear, group_norm)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in self.WEIGHTED:
            args, kwargs = tree_map_only(torch.Tensor, torch.Tensor.float, (args, kwargs))
        return func(*args, **(kwargs or {}))
