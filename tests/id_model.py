"""A small ONNX network with ArcFace's interface, which hands 512 of the picture's numbers through."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# In the input's 3·112·112 numbers, in no order.
PLACES = np.random.default_rng(0).permutation(3 * 112 * 112)[:512]


def write_id_model(path: Path, places: np.ndarray = PLACES, input_name: str = "data", side: int = 112) -> Path:
    """Writes it to `path`; the others change what is told of its interface, or which numbers it gives."""
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", [input_name, "flat"], ["numbers"]),
            helper.make_node("Gather", ["numbers", "places"], ["embedding"], axis=1),
        ],
        "stand-in",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, len(places)])],
        [numpy_helper.from_array(np.array([1, -1]), "flat"), numpy_helper.from_array(places, "places")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path
