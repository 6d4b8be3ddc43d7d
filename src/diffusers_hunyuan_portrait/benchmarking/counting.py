"""Floating-point operations and bytes, as torch counts them, on tensors with content or without."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed._tools.mod_tracker import ModTracker
from torch.utils.flop_counter import FlopCounterMode


@dataclass
class Operations:
    """Multiplications and additions, as two each.

    Args:
        products: of convolutions and products of matrices.
        attention: of the products within attention, which torch counts for some devices' kernels only. Products of
            batches count as such, as nothing else has any: attention runs so where it has no kernel.
    """

    products: int = 0
    attention: int = 0


def attention_flops(query: Any, key: Any, value: Any, *others: Any, out_shape: Any = None, **named: Any) -> int:
    """Two products, for the CPU's fused attention, which torch's counter does not know."""
    return 4 * query[0] * query[1] * query[2] * key[2] * query[3]


def attention_backward_flops(
    gradient: Any, query: Any, key: Any, value: Any, *others: Any, out_shape: Any = None, **named: Any
) -> int:
    """Five products: one is done anew."""
    return attention_flops(query, key, value) * 5 // 2


class _NoModules(ModTracker):
    """Follows no module: what happens anywhere counts alike.

    To follow them takes most of the time, and in what gradient checkpointing does anew its hooks hold on to
    tensors that a run lets go of: with torch 2.13, 25 GB instead of 2 in a step of the released UNet.
    """

    def __enter__(self) -> "_NoModules":
        return self

    def __exit__(self, *exception: Any) -> None:
        pass


@contextmanager
def count_operations() -> Iterator[Operations]:
    """Counts what is done within; the numbers are there afterwards."""
    aten = torch.ops.aten
    operations = Operations()
    counter = FlopCounterMode(
        display=False,
        custom_mapping={
            aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
            aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
        },
    )
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with counter:
        yield operations
    by_operator = counter.get_flop_counts().get("Global", {})
    operations.attention = sum(
        count for operator, count in by_operator.items() if operator == aten.bmm or "attention" in str(operator)
    )
    operations.products = sum(by_operator.values()) - operations.attention


class MemoryTracker(MemTracker):
    """torch's tracker of the memory that tensors take, for all that is done within."""

    def __init__(self) -> None:
        super().__init__()
        self._mod_tracker = _NoModules()

    @property
    def peak(self) -> dict[str, int]:
        """The most bytes at a time, by kind, and in `Total`."""
        [peak] = self.get_tracker_snapshot("peak").values()
        return peak
