"""SCRFD by the real insightface package, with a small ONNX network in the place of a model pack's detector."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from diffusers_hunyuan_portrait import face
from diffusers_hunyuan_portrait.errors import CheckpointError

if not os.environ.get("CI"):  # there it is required
    pytest.importorskip("insightface", reason="insightface is not installed; `pip install insightface` brings it")

STRIDES = (8, 16, 32)
ANCHORS = 2  # candidates in every cell
REACH = [1.0, 2.0, 3.0, 4.0]  # in strides: from a candidate's place to the box's left, top, right and bottom
POINTS = [-0.5, -1.0, 1.5, -1.0, 0.5, 0.0, -0.25, 1.0, 1.25, 1.0]  # in strides: x and y of the five points


def write_detector(path: Path, highest_input: int = 10_000) -> None:
    """A network with SCRFD's nine outputs: a cell's score is the mean of the red that goes in at that cell.

    It sees nothing in pictures higher than `highest_input`.
    """
    nodes, outputs, constants = [], {}, {}

    def constant(name: str, value: np.ndarray) -> str:
        constants[name] = numpy_helper.from_array(value, name)
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    zero, one, two = (constant(name, np.array([i])) for i, name in enumerate(("zero", "one", "two")))
    red = node("Slice", ["input.1", zero, one, one], "red")  # channel 0
    height = node("Gather", [node("Shape", ["input.1"], "shape"), two], "height")
    low_enough = node("LessOrEqual", [height, constant("highest", np.array([highest_input]))], "low_enough")
    factor = node("Cast", [low_enough], "factor", to=TensorProto.FLOAT)
    for stride in STRIDES:
        pooled = node("AveragePool", [red], f"pooled{stride}", kernel_shape=[stride] * 2, strides=[stride] * 2)
        column = node("Reshape", [pooled, constant("column", np.array([-1, 1]))], f"column{stride}")
        twice = node("Concat", [column] * ANCHORS, f"twice{stride}", axis=1)
        scores = node("Reshape", [twice, "column"], f"scores{stride}")
        outputs[f"score{stride}"] = (node("Mul", [scores, factor], f"score{stride}"), 1)
        none = node("Mul", [scores, constant("nothing", np.zeros(1, dtype=np.float32))], f"none{stride}")
        for name, values in (("box", REACH), ("points", POINTS)):
            row = constant(name, np.array([values], dtype=np.float32))
            outputs[f"{name}{stride}"] = (node("Add", [none, row], f"{name}{stride}"), len(values))
    names = [f"{kind}{stride}" for kind in ("score", "box", "points") for stride in STRIDES]
    graph = helper.make_graph(
        nodes,
        "scrfd",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"n_{name}", outputs[name][1]])
            for name in names
        ],
        list(constants.values()),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)


@pytest.fixture
def pack(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Puts a pack with the stand-in where insightface keeps its packs."""
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))

    def pack(**settings: object) -> Path:
        path = tmp_path / "models" / "buffalo_l" / "det_10g.onnx"
        write_detector(path, **settings)
        return path

    return pack


def red_square(height: int, width: int, x: int, y: int, side: int) -> np.ndarray:
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[y : y + side, x : x + side, 0] = 255
    return picture


def test_auto_takes_a_pack_that_is_there(pack):
    pack()
    assert face.resolve_detector("auto") == "insightface"
    assert face.load_detector("auto").name == "insightface"


def test_candidates_become_faces_in_the_pictures_pixels(pack):
    """1280×960 pixels go in halved: the red lies in the cell (20, 11) of stride 8, whose place is (160, 88)."""
    pack()
    (found,) = face.load_detector("insightface").detect(red_square(960, 1280, 320, 176, 16))
    np.testing.assert_allclose(found.box, 2 * np.array([160 - 8, 88 - 16, 160 + 24, 88 + 32]), atol=1e-3)
    points = 2 * (8 * np.array(POINTS).reshape(5, 2) + [160, 88])
    np.testing.assert_allclose(found.landmarks, points, atol=1e-3)
    assert found.score == pytest.approx((255 - 127.5) / 128, abs=1e-5)  # SCRFD's scaling; blue would give −1


def test_no_candidates_are_no_faces(pack):
    pack()
    assert face.load_detector("insightface").detect(np.zeros((64, 64, 3), dtype=np.uint8)) == []


def test_a_close_up_is_looked_at_in_a_smaller_picture(pack):
    """The stand-in is blind above 200 pixels; at 128 one pixel is 5 of the picture's 640."""
    pack(highest_input=200)
    (found,) = face.load_detector("insightface").detect(red_square(640, 640, 160, 80, 40))
    np.testing.assert_allclose(found.box, 5 * np.array([32 - 8, 16 - 16, 32 + 24, 16 + 32]), atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 3)])
def test_pictures_of_any_shape_serve(pack, size):
    pack()
    assert face.load_detector("insightface").detect(np.zeros((*size, 3), dtype=np.uint8)) == []


def test_a_folder_or_a_file_can_be_named(pack, tmp_path, monkeypatch):
    path = pack()
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path / "elsewhere"))
    for given in (path, path.parent, str(path.parent.parent)):
        assert len(face.load_detector("insightface", path=given).detect(red_square(640, 640, 160, 88, 8))) == 1


def test_without_a_pack_it_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"no model pack of insightface in .*FaceAnalysis"):
        face.load_detector("insightface")


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "det_10g.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match="not an ONNX file"):
        face.load_detector("insightface", path=path)


def test_another_network_is_refused(tmp_path):
    path = tmp_path / "w600k_r50.onnx"
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["data"], ["embedding"])],
        "recognition",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 3 * 112 * 112])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    with pytest.raises(CheckpointError, match="not a face detector with five points"):
        face.load_detector("insightface", path=path)
