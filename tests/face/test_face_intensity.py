"""Levels of motion in chunks that the golden file has not: tensors, one frame, no extent, no numbers."""

import numpy as np
import pytest
import torch

from diffusers_hunyuan_portrait import face

POINTS = np.array([[30.0, 40], [70, 40], [50, 60], [35, 80], [65, 80]])  # extent 40×40 about the nose


def test_levels_by_hand():
    """The nose goes 4 pixels either way, the points around it 2: 256/s·4 and 1024/s·2·4/5 with s = 40·√2."""
    head = np.array([[[-4.0, 0]], [[4, 0]]])
    around = np.array([[[-2.0, 0]], [[2, 0]]]) * (np.arange(5) != 2)[:, None]
    size = 40 * np.sqrt(2)
    assert face.intensity_levels(POINTS + head + around) == (int(256 / size * 4), int(1024 / size * 2 * 4 / 5))


def test_a_tensor_serves():
    chunk = torch.from_numpy(POINTS + np.random.default_rng(0).normal(size=(25, 5, 2)))
    assert face.intensity_levels(chunk.float().requires_grad_()) == face.intensity_levels(chunk.numpy())


@pytest.mark.parametrize("frames", [1, 25])
def test_a_face_at_rest_has_level_zero(frames):
    assert face.intensity_levels(np.repeat(POINTS[None], frames, axis=0)) == (0, 0)


def test_levels_end_at_127():
    assert face.intensity_levels(np.stack([POINTS, POINTS * 100])) == (127, 127)


def test_a_face_without_extent_counts_as_still():
    assert face.intensity_levels(np.stack([np.full((5, 2), 7.0), POINTS])) == (0, 0)


@pytest.mark.parametrize("shape", [(0, 5, 2), (5, 2), (3, 68, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="of shape"):
        face.intensity_levels(np.zeros(shape))


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        face.intensity_levels(np.full((2, 5, 2), np.nan))
