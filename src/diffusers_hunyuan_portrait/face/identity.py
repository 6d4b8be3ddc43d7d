"""The person's identity as a vector, by the released ArcFace network, which is an ONNX file."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import CheckpointError, UserError

INPUT_NAME = "data"
WIDTH = 512


class MissingRuntimeError(UserError):
    """onnxruntime, which runs ONNX files, is not installed."""


class IdEncoder:
    """Runs `arcface.onnx` by onnxruntime, on CUDA where onnxruntime has it, else on the CPU.

    Args:
        path: the file `arcface.onnx` (Hub: FoivosPar/Arc2Face).

    Raises:
        MissingRuntimeError: where onnxruntime is not installed.
        CheckpointError: where the file is missing or is not such a network.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as errors
        except ImportError as error:
            raise MissingRuntimeError(
                "The identity of the portrait is read by onnxruntime, which is not installed; "
                "install it with `pip install onnxruntime`."
            ) from error
        if not Path(path).is_file():
            raise CheckpointError(
                f"There is no file {path}; download arcface.onnx from FoivosPar/Arc2Face on the Hub."
            )
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        self._refusals = errors.InvalidArgument, errors.Fail
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=providers)
        except (errors.InvalidProtobuf, errors.InvalidGraph, *self._refusals) as error:
            raise CheckpointError(f"{path} is not an ONNX file that runs; download arcface.onnx again.") from error
        inputs = [value.name for value in self.session.get_inputs()]
        if inputs != [INPUT_NAME]:
            raise CheckpointError(f"{path} takes the inputs {inputs}, not {INPUT_NAME!r}; it is not arcface.onnx.")

    def __call__(self, arcface_image: NDArray[np.float32]) -> torch.Tensor:
        """The identity of one aligned face: (1, 512) float32 of unit norm (contract, "ArcFace image").

        Args:
            arcface_image: (112, 112, 3) RGB in [0, 1]; the released weights' program leaves it there, not in ±1.

        Raises:
            CheckpointError: where the network takes another size, or gives anything but 512 numbers.
        """
        pixels = np.asarray(arcface_image, dtype=np.float32).transpose(2, 0, 1)[None]  # (1, 3, rows, columns)
        try:
            (embedding,) = self.session.run([self.session.get_outputs()[0].name], {INPUT_NAME: pixels})
        except self._refusals as error:
            raise CheckpointError(
                f"The ID encoder is not arcface.onnx: it does not take a picture of shape {pixels.shape}."
            ) from error
        if embedding.shape != (1, WIDTH):
            raise CheckpointError(
                f"The ID encoder is not arcface.onnx: its output has shape {embedding.shape}, not (1, {WIDTH})."
            )
        return torch.nn.functional.normalize(torch.from_numpy(embedding).float())
