"""Small ONNX networks with the interface of DWPose's two: a person is where a pure blue dot is.

The detector gives set boxes, where a picture has such a dot. The pose network puts the nose on the bluest place of
the box, and the other points at set places about it. The files themselves cannot be had from a package.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from astronaut import moving_frames, portrait_picture
from onnx import TensorProto, helper, numpy_helper

from diffusers_hunyuan_portrait.face.skeletons.dwpose import DETECTOR_FILE, POSE_FILE

DOT = (0, 0, 255)  # RGB
PERSON, DOG = 0, 16  # classes
PORTRAIT_NOSE = (225, 129)
# COCO-WholeBody's points about the nose, in pixels of the pose network's 288×384: those of an upper body.
BODY = [
    *((0, 0), (8, -8), (-8, -8), (18, -4), (-18, -4), (38, 42), (-38, 42), (48, 84), (-48, 84), (40, 120)),
    *((-40, 120), (22, 130), (-22, 130), (22, 180), (-22, 180), (22, 230), (-22, 230)),
]
FEET = [(20 * side, 240 + step) for side in (1, -1) for step in range(3)]
FACE = [(round(16 * np.cos(step / 5)), round(18 * np.sin(step / 5))) for step in range(68)]
HANDS = [(side * (40 + step % 5), 122 + step) for side in (1, -1) for step in range(21)]
PLACES = np.array([*BODY, *FEET, *FACE, *HANDS])  # (133, 2)
REACH = 250  # pixels, of the farthest of them


def write_dwpose(folder: Path, boxes: Sequence[tuple[float, float, float, float, int]] = ()) -> Path:
    """Writes both files into `folder`.

    Args:
        boxes: x1, y1, x2, y2 in the detector's square of 640 pixels, and the class; by default one of a person
            that is all of it.
    """
    folder.mkdir(exist_ok=True)
    _write_detector(folder / DETECTOR_FILE, boxes or [(0, 0, 640, 640, PERSON)])
    _write_pose_network(folder / POSE_FILE)
    return folder


def _write_detector(path: Path, boxes: Sequence[tuple[float, float, float, float, int]]) -> None:
    found = np.zeros((1, 8400, 85), np.float32)
    for number, (x1, y1, x2, y2, kind) in enumerate(boxes):
        # Cell (number, 0) of the finest grid, of 8 pixels.
        found[0, number, :2] = (x1 + x2) / 16 - number, (y1 + y2) / 16
        found[0, number, 2:4] = np.log((x2 - x1) / 8), np.log((y2 - y1) / 8)
        found[0, number, 4], found[0, number, 5 + kind] = 1, 0.9
    is_score = np.zeros((1, 1, 85), np.float32)
    is_score[..., 4] = 1
    # Objectness times whether the picture, in BGR, has a dot.
    nodes = [
        helper.make_node("Conv", ["images", "blueness"], ["blue"]),
        helper.make_node("ReduceMax", ["blue"], ["bluest"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Greater", ["bluest", "enough"], ["seen"]),
        helper.make_node("Cast", ["seen"], ["is_seen"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["scores", "is_seen"], ["kept"]),
        helper.make_node("Add", ["kept", "rest"], ["output"]),
    ]
    numbers = {
        "blueness": np.array([1, -0.5, -0.5], np.float32).reshape(1, 3, 1, 1),
        "enough": np.array([200], np.float32),
        "scores": found * is_score,
        "rest": found * (1 - is_score),
    }
    _write(path, nodes, numbers, ("images", [1, 3, 640, 640]), {"output": [1, 8400, 85]})


def _write_pose_network(path: Path) -> None:
    """A dot's blueness is 5 as pictures are normalised, and its score then 0.55.

    That of a point that is out of view in one direction is half of it, which counts as not found.
    """
    nodes = [
        helper.make_node("Conv", ["input", "blueness"], ["blue"]),
        helper.make_node("Relu", ["blue"], ["map"]),
    ]
    numbers = {"blueness": np.array([-0.5, -0.5, 1], np.float32).reshape(1, 3, 1, 1) / 9}
    outputs = {}
    for axis, (name, length) in enumerate((("simcc_x", 288), ("simcc_y", 384))):
        others = 2 if axis == 0 else 3
        kernel = np.zeros((133, 1, 4 * REACH + 1), np.float32)  # twice the pixels, as SimCC has it
        kernel[np.arange(133), 0, 2 * REACH - 2 * PLACES[:, axis]] = 1
        numbers |= {f"{name}.kernel": kernel, f"{name}.twice": np.array([1, 1, length, 2])}
        numbers |= {f"{name}.flat": np.array([1, 1, 2 * length]), f"{name}.column": np.array([1, 1, length, 1])}
        nodes += [
            helper.make_node("ReduceMax", ["map"], [f"{name}.profile"], axes=[others], keepdims=0),
            helper.make_node("Reshape", [f"{name}.profile", f"{name}.column"], [f"{name}.single"]),
            helper.make_node("Expand", [f"{name}.single", f"{name}.twice"], [f"{name}.pairs"]),
            helper.make_node("Reshape", [f"{name}.pairs", f"{name}.flat"], [f"{name}.fine"]),
            helper.make_node("Conv", [f"{name}.fine", f"{name}.kernel"], [name], pads=[2 * REACH, 2 * REACH]),
        ]
        outputs[name] = [1, 133, 2 * length]
    _write(path, nodes, numbers, ("input", [1, 3, 384, 288]), outputs)


def _write(path: Path, nodes: list, numbers: dict, taken: tuple[str, list], given: dict[str, list]) -> None:
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info(taken[0], TensorProto.FLOAT, taken[1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in given.items()],
        [numpy_helper.from_array(values, name) for name, values in numbers.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)


def dotted_portrait() -> np.ndarray:
    """The astronaut with a dot on the nose."""
    return dotted(portrait_picture(), PORTRAIT_NOSE)


def dotted_frames(num_frames: int) -> Iterator[np.ndarray]:
    """The astronaut moving, with a dot about the nose, that goes right and down."""
    for number, frame in enumerate(moving_frames(num_frames)):
        yield dotted(frame, (226 + 2 * number, 130 + number))


def dotted(picture: np.ndarray, *places: Sequence[float], radius: int = 4) -> np.ndarray:
    """The picture with a dot at each place."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    changed = picture.copy()
    for place in places:
        changed[np.hypot(x - place[0], y - place[1]) <= radius] = DOT
    return changed
