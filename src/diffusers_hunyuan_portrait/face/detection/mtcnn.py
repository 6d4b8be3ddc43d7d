"""MTCNN, the bundled detector: three small networks, each looking closer at what the one before let through.

Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks",
2016. The weights are described in `face/weights/README.md`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load
from torch import nn

from ..pixels import Picture, cut
from .interface import Face, as_picture
from .suppression import suppress_overlaps

# Faces are looked for in a picture whose longer side is at most this, which bounds time and memory.
SEARCH_SIDE = 1280
# The smallest face looked for, as a part of that picture's longer side, but never below 20 pixels: the first
# network then sees at most 384 pixels a side, whatever the picture's size.
SMALLEST_FACE = 1 / 32
SMALLEST_FACE_PIXELS = 20
PYRAMID_STEP = 0.709  # about the root of one half: each level has half the pixels of the one before

PROPOSAL_WINDOW, PROPOSAL_STRIDE = 12, 2  # P-Net's field of view and its step, in pixels of a pyramid level
REFINE_SIZE, OUTPUT_SIZE = 24, 48  # R-Net's and O-Net's input, pixels a side
PROPOSAL_SCORE, REFINE_SCORE, OUTPUT_SCORE = 0.6, 0.7, 0.7
LEVEL_OVERLAP, CANDIDATE_OVERLAP = 0.5, 0.7
MOST_CANDIDATES = 512  # kept of a pyramid level, and of all levels together: noise can fire everywhere
MIRRORED_SIDES = [2, 1, 0, 3]  # the sides of a box, as they follow each other in a mirror image
MIRRORED_POINTS = [1, 0, 2, 4, 3]  # the five points likewise
GPU_BATCH = 16  # frames of a clip that a GPU searches together
BATCH = 256  # candidates run through R-Net or O-Net at once


class Candidates(NamedTuple):
    """N possible faces in the searched picture."""

    boxes: NDArray[np.float64]  # (N, 4) x1, y1, x2, y2
    scores: NDArray[np.float64]  # (N,) 0 to 1


class MTCNN:
    """Finds faces without any further download.

    The search runs on a picture scaled down to 1280 pixels on its longer side, and finds faces from 1/32 of
    that side (20 pixels in pictures of 640 pixels and below). Coordinates are scaled back.

    Args:
        device: where the networks run.

    Attributes:
        batch_size: how many frames of a clip are best given to `detect_batch` at a time.
    """

    name = "mtcnn"

    def __init__(self, device: str | torch.device | None = None) -> None:
        self.device = torch.device(device or "cpu")
        self.networks = _Networks()
        weights = resources.files("diffusers_hunyuan_portrait.face") / "weights" / "mtcnn.safetensors"
        self.networks.load_state_dict(load(weights.read_bytes()))
        self.networks.to(self.device).eval().requires_grad_(False)
        self.batch_size = 1 if self.device.type == "cpu" else GPU_BATCH

    def detect(self, image: Picture) -> list[Face]:
        """Find the faces in `image`, (H, W, 3) uint8 RGB."""
        return self.detect_batch([image])[0]

    @torch.inference_mode()
    def detect_batch(self, images: Sequence[Picture]) -> list[list[Face]]:
        """Find the faces in each of some pictures of one size, together: the networks then do more at a time."""
        searched = [_searched(as_picture(image)) for image in images]
        pictures = [picture for picture, _ in searched]
        with _one_thread():
            candidates = self._confirm(pictures, self._refine(pictures, self._propose(pictures)))
            candidates, landmarks = self._settle(pictures, candidates)
        return [
            _as_faces(found, points, scale)
            for found, points, (_, scale) in zip(candidates, landmarks, searched, strict=True)
        ]

    @torch.inference_mode()
    def follow(self, image: Picture, faces: Sequence[Face]) -> list[Face]:
        """The `faces` of a frame in the next one, `image`; those that cannot be found any more are left out.

        The last network looks again where each was, which is what `detect` ends with: where faces move less than
        their size the points come out the same but for small parts of a pixel.
        """
        picture, scale = _searched(as_picture(image))
        boxes = np.array([face.box / np.tile(scale, 2) for face in faces]).reshape(-1, 4)
        candidates = [Candidates(boxes, np.array([face.score for face in faces]))]
        with _one_thread():
            candidates, landmarks = self._settle([picture], candidates)
        return _as_faces(candidates[0], landmarks[0], scale)

    def _propose(self, pictures: Sequence[Picture]) -> list[Candidates]:
        """P-Net over all levels of the pyramid: every place in each picture that may hold a face, as a square."""
        levels = [self._propose_at(pictures, factor) for factor in _pyramid(pictures[0])]
        found = zip(*levels, strict=True) if levels else [()] * len(pictures)  # a tiny picture has no level
        return [_with_squares(_best(_joined(parts), CANDIDATE_OVERLAP)) for parts in found]

    def _propose_at(self, pictures: Sequence[Picture], factor: float) -> list[Candidates]:
        height, width = pictures[0].shape[:2]
        size = (round(width * factor), round(height * factor))
        level = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
        faces, shifts = self.networks.pnet(_as_input(np.array(level, dtype=np.uint8)).to(self.device))
        found = []
        # face is (rows, columns), shift (4, rows, columns).
        for face, shift in zip(faces.cpu().numpy(), shifts.cpu().numpy(), strict=True):
            rows, columns = np.nonzero(face > PROPOSAL_SCORE)
            corners = PROPOSAL_STRIDE * np.stack([columns, rows, columns, rows], axis=1)
            corners[:, 2:] += PROPOSAL_WINDOW
            boxes = corners * np.array([width / size[0], height / size[1]] * 2)
            boxes = _regressed(boxes, shift[:, rows, columns].T)
            found.append(_best(Candidates(boxes, face[rows, columns].astype(np.float64)), LEVEL_OVERLAP))
        return found

    def _refine(self, pictures: Sequence[Picture], candidates: Sequence[Candidates]) -> list[Candidates]:
        """R-Net: the candidates that still look like a face, moved to it, as squares."""
        refined = []
        looks = self._look(self.networks.rnet, pictures, [found.boxes for found in candidates], REFINE_SIZE)
        for found, (scores, shift) in zip(candidates, looks, strict=True):
            keep = scores > REFINE_SCORE
            boxes = _regressed(found.boxes[keep], shift[keep])
            refined.append(_with_squares(_best(Candidates(boxes, scores[keep]), CANDIDATE_OVERLAP)))
        return refined

    def _confirm(self, pictures: Sequence[Picture], candidates: Sequence[Candidates]) -> list[Candidates]:
        """O-Net: the candidates that are faces, one for each face, moved to it."""
        confirmed = []
        looks = self._look(self.networks.onet, pictures, [found.boxes for found in candidates], OUTPUT_SIZE)
        for found, (scores, shift, _) in zip(candidates, looks, strict=True):
            keep = scores > OUTPUT_SCORE
            boxes = _regressed(found.boxes[keep], shift[keep])
            confirmed.append(_best(Candidates(boxes, scores[keep]), CANDIDATE_OVERLAP, relative_to="smaller"))
        return confirmed

    def _settle(
        self, pictures: Sequence[Picture], faces: Sequence[Candidates]
    ) -> tuple[list[Candidates], list[NDArray[np.float64]]]:
        """Looks at found faces twice more: those confirmed, and their points (N, 5, 2), in the mean of both looks.

        The paper stops after the first look, whose points shake with the candidate that it happened to start from:
        by 0.39 pixels (standard deviation, for a face 90 pixels wide), and by 0.18 after two more. Often each look
        undoes what the one before has done, so that their mean is steadier by a tenth, and is the same wherever
        it was begun.
        """
        found, landmarks = self._look_again(pictures, faces)
        again, places = self._look_again(pictures, found)
        for index, (before, after) in enumerate(zip(found, again, strict=True)):
            if len(after.boxes) == len(before.boxes):  # else one was lost, and the second look stands
                again[index] = Candidates((before.boxes + after.boxes) / 2, after.scores)
                places[index] = (landmarks[index] + places[index]) / 2
        return again, places

    def _look_again(
        self, pictures: Sequence[Picture], faces: Sequence[Candidates]
    ) -> tuple[list[Candidates], list[NDArray[np.float64]]]:
        """O-Net on faces it has found and on their mirror images: those confirmed, and their points (N, 5, 2)."""
        squares = [_squares(found.boxes) for found in faces]
        straight = self._look(self.networks.onet, pictures, squares, OUTPUT_SIZE)
        mirrored = self._look(self.networks.onet, pictures, squares, OUTPUT_SIZE, mirror=True)
        confirmed, landmarks = [], []
        for square, (score, shift, points), (m_score, m_shift, m_points) in zip(
            squares, straight, mirrored, strict=True
        ):
            score = (score + m_score) / 2
            shift = (shift + m_shift[:, MIRRORED_SIDES] * [-1, 1, -1, 1]) / 2
            x, y = points[:, :5], points[:, 5:]  # (N, points), in parts of the square
            m_x, m_y = m_points[:, :5][:, MIRRORED_POINTS], m_points[:, 5:][:, MIRRORED_POINTS]
            places = np.stack([x + 1 - m_x, y + m_y], axis=2) / 2  # (N, points, xy)
            corners, sizes = square[:, None, :2], square[:, None, 2:] - square[:, None, :2]
            boxes = _regressed(square, shift)
            keep = (score > OUTPUT_SCORE) & _are_proper(boxes)
            confirmed.append(Candidates(boxes[keep], score[keep]))
            landmarks.append((corners + sizes * places)[keep])
        return confirmed, landmarks

    def _look(
        self,
        network: nn.Module,
        pictures: Sequence[Picture],
        squares: Sequence[NDArray[np.float64]],
        size: int,
        mirror: bool = False,
    ) -> list[list[NDArray[np.float64]]]:
        """For each picture `network`'s outputs for what lies in its squares, at `size` pixels a side."""
        places = [(picture, square) for picture, found in zip(pictures, squares, strict=True) for square in found]
        outputs = []
        for start in range(0, max(len(places), 1), BATCH):  # where there are no squares, one empty batch
            crops = [_crop(picture, square, size) for picture, square in places[start : start + BATCH]]
            batch = np.array(crops, dtype=np.uint8).reshape(-1, size, size, 3)
            batch = batch[:, :, ::-1].copy() if mirror else batch
            outputs.append([output.cpu().double().numpy() for output in network(_as_input(batch).to(self.device))])
        ends = np.cumsum([len(found) for found in squares])[:-1]
        split = [np.split(np.concatenate(parts), ends) for parts in zip(*outputs, strict=True)]
        return [list(of_picture) for of_picture in zip(*split, strict=True)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keeps PyTorch to one thread: the search is hundreds of short steps, which gain little from more.

    On a busy machine threads wait for each other at every step, which can make it ten times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _as_faces(candidates: Candidates, landmarks: NDArray[np.float64], scale: NDArray[np.float64]) -> list[Face]:
    """In the image's pixels, of which there are `scale` to one of the searched picture, in x and y."""
    return [
        Face(box * np.tile(scale, 2), points * scale, score)
        for box, score, points in zip(*candidates, landmarks, strict=True)
    ]


def _searched(image: Picture) -> tuple[Picture, NDArray[np.float64]]:
    """The picture that faces are looked for in, and the image's pixels for one of its pixels, in x and y."""
    height, width = image.shape[:2]
    factor = min(SEARCH_SIDE / max(height, width), 1)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    picture = image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(picture, dtype=np.uint8), np.array([width / size[0], height / size[1]])


def _pyramid(picture: Picture) -> list[float]:
    """The factors to scale the picture by, so that P-Net's window is as large as a face of each size."""
    shorter, longer = sorted(picture.shape[:2])
    factor = PROPOSAL_WINDOW / max(SMALLEST_FACE * longer, SMALLEST_FACE_PIXELS)
    factors = []
    while round(shorter * factor) >= PROPOSAL_WINDOW:
        factors.append(factor)
        factor *= PYRAMID_STEP
    return factors


def _as_input(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """Pictures (N, rows, columns, RGB) as the networks were trained on them: (N, 3, rows, columns), about ±1."""
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - 127.5) / 128


def _best(
    candidates: Candidates, overlap: float, relative_to: Literal["union", "smaller"] = "union"
) -> Candidates:
    """The candidates after suppression, from no more than the best `MOST_CANDIDATES` of them."""
    strongest = np.argsort(-candidates.scores, kind="stable")[:MOST_CANDIDATES]
    boxes, scores = candidates.boxes[strongest], candidates.scores[strongest]
    proper = _are_proper(boxes)
    boxes, scores = boxes[proper], scores[proper]
    keep = suppress_overlaps(boxes, scores, overlap, relative_to)
    return Candidates(boxes[keep], scores[keep])


def _are_proper(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which boxes have an extent: a network can turn one inside out."""
    return np.all(boxes[:, 2:] - boxes[:, :2] >= 1, axis=1)


def _regressed(boxes: NDArray[np.float64], shift: NDArray[np.floating]) -> NDArray[np.float64]:
    """Boxes (N, 4) with each side moved by `shift` (N, 4), which is in parts of the width or height."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    return boxes + shift * np.tile(sizes, 2)


def _joined(found: Sequence[Candidates]) -> Candidates:
    """The candidates of all levels of one picture."""
    return Candidates(
        np.concatenate([np.empty((0, 4)), *(part.boxes for part in found)]),
        np.concatenate([np.empty(0), *(part.scores for part in found)]),
    )


def _with_squares(candidates: Candidates) -> Candidates:
    return Candidates(_squares(candidates.boxes), candidates.scores)


def _squares(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The squares about the boxes' centres whose side is the longer one of each."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _crop(picture: Picture, square: NDArray[np.float64], size: int) -> Picture:
    """What lies in the square, between pixels too, at `size` × `size`; black outside the picture."""
    left, top = np.floor(square[:2]).astype(int).tolist()
    right, bottom = np.ceil(square[2:]).astype(int).tolist()
    part = Image.fromarray(np.ascontiguousarray(cut(picture, (left, top, right, bottom))))
    inside = tuple((square - [left, top, left, top]).tolist())
    return np.asarray(part.resize((size, size), Image.Resampling.BILINEAR, box=inside))


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs))


def _pool(kernel: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)


class _ProposalNet(nn.Module):
    """P-Net: (N, 3, H, W) to face probability (N, h, w) and box shift (N, 4, h, w), one for every second pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _convolution(3, 10, 3), _pool(2), _convolution(10, 16, 3), _convolution(16, 32, 3)
        )
        self.face = nn.Conv2d(32, 2, 1)
        self.box = nn.Conv2d(32, 4, 1)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.trunk(pictures)
        return self.face(features).softmax(dim=1)[:, 1], self.box(features)


class _RefineNet(nn.Module):
    """R-Net: (N, 3, 24, 24) to face probability (N,) and box shift (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(_convolution(3, 28, 3), _pool(3)),
            *(_convolution(28, 48, 3), _pool(3)),
            _convolution(48, 64, 2),
            *(nn.Flatten(), nn.Linear(576, 128), nn.PReLU(128)),
        )
        self.face = nn.Linear(128, 2)
        self.box = nn.Linear(128, 4)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.trunk(pictures)
        return self.face(features).softmax(dim=1)[:, 1], self.box(features)


class _OutputNet(nn.Module):
    """O-Net: (N, 3, 48, 48) to face probability (N,), box shift (N, 4) and points (N, 10): five x, then five y."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(_convolution(3, 32, 3), _pool(3)),
            *(_convolution(32, 64, 3), _pool(3)),
            *(_convolution(64, 64, 3), _pool(2)),
            _convolution(64, 128, 2),
            *(nn.Flatten(), nn.Linear(1152, 256), nn.PReLU(256)),
        )
        self.face = nn.Linear(256, 2)
        self.box = nn.Linear(256, 4)
        self.points = nn.Linear(256, 10)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = self.trunk(pictures)
        return self.face(features).softmax(dim=1)[:, 1], self.box(features), self.points(features)


class _Networks(nn.Module):
    """The three networks, named as in the weights file."""

    def __init__(self) -> None:
        super().__init__()
        self.pnet = _ProposalNet()
        self.rnet = _RefineNet()
        self.onet = _OutputNet()
