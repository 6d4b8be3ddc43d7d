"""`DrivingMotion`: what a driving clip contributes to a run, as numbers, in memory or in a file."""

import hashlib
import json
import math
import os
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save

from .errors import UserError
from .poses import NUM_KEYPOINTS

FORMAT, VERSION = "hunyuan-portrait-motion", 1
SUFFIX = ".safetensors"
LEVELS = 128  # of each intensity
HEADS = ("absolute", "relative")
# Of each tensor its type and its length on each axis: a number, or the letter of what has that length.
_LAYOUT: dict[str, tuple[torch.dtype, tuple[str | int, ...]]] = {
    "expression": (torch.float32, ("F", "E")),
    "rotation": (torch.float32, ("F", 3)),
    "translation": (torch.float32, ("F", 3)),
    "landmarks": (torch.float32, ("F", 5, 2)),
    "timestamps": (torch.float64, ("F",)),
    "levels": (torch.int64, ("C", 2)),
    "held": (torch.int64, ("H",)),
}
_OPTIONAL: dict[str, tuple[torch.dtype, tuple[str | int, ...]]] = {
    "keypoints": (torch.float32, ("F", NUM_KEYPOINTS, 3)),
}


@dataclass(frozen=True, eq=False)
class DrivingMotion:
    """The motion of a face through a clip of F frames; no picture of it.

    Args:
        expression: (F, E), the expression encoder's numbers.
        rotation, translation: (F, 3), the head-pose encoder's: degrees, and -2 to 2.
        landmarks: (F, 5, 2) in pixels of the clip.
        timestamps: (F,) float64, seconds from the first frame.
        levels: (C, 2) int64, 0 to 127: the intensities of head and expression in each chunk of frames.
        held: (H,) int64, the numbers of the frames in which the face is out of view: they hold another's motion.
        chunk_size: frames of a chunk; the last may have fewer.
        frame_rate: frames a second.
        is_variable_rate: whether the timestamps are uneven.
        sound: path of the clip whose sound goes with it; `None` where there is none.
        sound_span: seconds of that clip, from and to, that the motion is of; `None` for the whole.
        encoders: fingerprint of the encoders that the numbers are of; see `fingerprint`.
        keypoints: (F, 134, 3), the person's skeleton in pixels of the clip, as x, y and score; a point that was
            not found is three zeros. `None` where none were looked for.

    Raises:
        UserError: a tensor has another type or shape, is not finite, or does not fit the others.
    """

    expression: torch.Tensor
    rotation: torch.Tensor
    translation: torch.Tensor
    landmarks: torch.Tensor
    timestamps: torch.Tensor
    levels: torch.Tensor
    held: torch.Tensor
    chunk_size: int
    frame_rate: Fraction
    is_variable_rate: bool = False
    sound: Path | None = None
    sound_span: tuple[float, float] | None = None
    encoders: str = ""
    keypoints: torch.Tensor | None = None

    def __post_init__(self) -> None:
        lengths: dict[str, int] = {}
        optional = {name: layout for name, layout in _OPTIONAL.items() if getattr(self, name) is not None}
        for name, (dtype, axes) in (_LAYOUT | optional).items():
            tensor = getattr(self, name)
            pairs = zip(axes, tensor.shape, strict=False)
            wanted = tuple(
                lengths.setdefault(axis, length) if isinstance(axis, str) else axis for axis, length in pairs
            )
            if tensor.dtype != dtype or tuple(tensor.shape) != wanted or len(axes) != tensor.dim():
                raise UserError(
                    f"`{name}` of a motion is {tensor.dtype} of shape {tuple(tensor.shape)}; it must be {dtype} "
                    f"of {axes}, with as many frames as the others."
                )
            if not torch.isfinite(tensor).all():
                raise UserError(f"`{name}` of a motion holds numbers that are not finite.")
        frames, chunks = lengths["F"], lengths["C"]
        if not frames or self.chunk_size < 1 or chunks != -(-frames // self.chunk_size):
            raise UserError(
                f"A motion of {frames} frames in chunks of {self.chunk_size} cannot have {chunks} pairs of levels."
            )
        if self.levels.min() < 0 or self.levels.max() >= LEVELS:
            raise UserError(f"A motion's levels must be from 0 to {LEVELS - 1}.")
        if len(self.held) and not (self.held.min() >= 0 and self.held.max() < frames):
            raise UserError(f"A motion of {frames} frames cannot hold frame {int(self.held.max())}.")
        if self.frame_rate <= 0 or (self.timestamps.diff() <= 0).any():
            raise UserError("A motion's times must rise, and its frame rate be above 0.")

    def __len__(self) -> int:
        """F."""
        return len(self.expression)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes it as safetensors, whole or not at all.

        Raises:
            UserError: the path does not end in .safetensors, or cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != SUFFIX:
            raise UserError(f"A motion is written to a file that ends in {SUFFIX}, which {path} does not.")
        facts = {
            "chunk_size": self.chunk_size,
            "frame_rate": str(self.frame_rate),
            "is_variable_rate": self.is_variable_rate,
            "sound": None if self.sound is None else str(self.sound),
            "sound_span": self.sound_span,
            "encoders": self.encoders,
        }
        metadata = {"format": FORMAT, "version": str(VERSION), "facts": json.dumps(facts, sort_keys=True)}
        tensors = {name: getattr(self, name) for name in (*_LAYOUT, *_OPTIONAL)}
        data = save(
            {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}, metadata
        )
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            unfinished.write_bytes(data)
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise UserError(f"The motion {path} cannot be written: {error.strerror}.") from error
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "DrivingMotion":
        """Reads what `save` wrote, as data only.

        Raises:
            UserError: it is no such file, is damaged, or of another version.
        """
        path = Path(path)
        try:
            with safetensors.safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise UserError(f"{path} holds no motion; make one by `hunyuan-portrait extract`.")
                if metadata.get("version") != str(VERSION):
                    raise UserError(
                        f"The motion {path} is of version {metadata.get('version')}, and this program reads "
                        f"{VERSION}; extract it anew."
                    )
                there = [name for name in _OPTIONAL if name in file.keys()]  # noqa: SIM118, it is no mapping
                tensors = {name: file.get_tensor(name) for name in (*_LAYOUT, *there)}
                facts = json.loads(metadata["facts"])
            sound, span = facts.pop("sound"), facts.pop("sound_span")
            return cls(
                **tensors,
                frame_rate=Fraction(facts.pop("frame_rate")),
                sound=None if sound is None else Path(sound),
                sound_span=None if span is None else (float(span[0]), float(span[1])),
                **facts,
            )
        except UserError as error:
            raise UserError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from error
        except (
            OSError,
            safetensors.SafetensorError,
            ValueError,
            TypeError,
            LookupError,
            ArithmeticError,
        ) as error:
            raise UserError(f"The motion {path} cannot be read ({error}); extract it anew.") from error

    def with_head(
        self, head: str = "absolute", head_scale: float = 1.0, at_rest: torch.Tensor | None = None
    ) -> "DrivingMotion":
        """The same with a head that turns more, less, or from where the portrait's is.

        Args:
            head: "absolute", at the driver's angles times the scale, where 0 faces the camera; or "relative", at
                `at_rest` and the scale times what the driver's angles differ from those of its first frame.
            head_scale: 1 as the driver does, 0 not at all; the head's levels go with it.
            at_rest: (3,), the portrait's own angles; needed for "relative".

        Raises:
            UserError: there is no such head, or the scale is not finite.
        """
        check_head(head, head_scale)
        if head == "absolute" and head_scale == 1:
            return self
        if head == "absolute":
            rotation = _within_a_turn(head_scale * self.rotation)
        else:
            assert at_rest is not None
            rotation = _within_a_turn(at_rest + head_scale * _within_a_turn(self.rotation - self.rotation[:1]))
        levels = self.levels.clone()
        levels[:, 0] = (abs(head_scale) * levels[:, 0]).long().clamp(max=LEVELS - 1)
        return replace(self, rotation=rotation, levels=levels)

    def check_keypoints(self) -> None:
        """Raise `UserError` where it has no key points."""
        if self.keypoints is None:
            raise UserError("The driving motion has no key points for skeletons; extract it with --pose dwpose.")

    def of_encoders(self, motion_extractor: torch.nn.Module) -> "DrivingMotion":
        """The same, marked with the fingerprint of its encoders."""
        return replace(self, encoders=fingerprint(motion_extractor))


def check_head(head: str, head_scale: float) -> None:
    """Raise `UserError` where heads are not turned so."""
    if head not in HEADS:
        raise UserError(f"There is no head {head!r}; choose {' or '.join(HEADS)}.")
    if not math.isfinite(head_scale):
        raise UserError(f"The head's scale is {head_scale}; it must be a finite number.")


def _within_a_turn(degrees: torch.Tensor) -> torch.Tensor:
    return (degrees + 180) % 360 - 180


class Rows:
    """A tensor that grows by rows, in memory that doubles.

    Many small tensors that stay, made among large ones that go, would break up the heap, by a megabyte a frame.
    """

    def __init__(self) -> None:
        self._memory = torch.empty(0)
        self._count = 0

    def extend(self, rows: torch.Tensor) -> None:
        """Copies (n, ...) behind what is there, of the same shape but for the first axis, and type."""
        count = self._count + len(rows)
        if not self._count:
            self._memory = rows.new_empty(2 * len(rows), *rows.shape[1:])
        while len(self._memory) < count:
            self._memory = torch.cat([self._memory, torch.empty_like(self._memory)])
        self._memory[self._count : count] = rows
        self._count = count

    @property
    def tensor(self) -> torch.Tensor:
        """All rows so far."""
        return self._memory[: self._count]


def fingerprint(motion_extractor: torch.nn.Module) -> str:
    """What tells the encoders of expression and head pose from those of other models: a hash of their weights."""
    weights = hashlib.sha256()
    for name, tensor in sorted(motion_extractor.state_dict().items()):
        if not name.startswith("refiner."):
            weights.update(name.encode())
            weights.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return weights.hexdigest()[:16]
