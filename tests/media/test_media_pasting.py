"""Paste-back lays the picture over its box, softly, and nowhere else."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from synthetic import GOLDEN, uniform

from diffusers_hunyuan_portrait import media


def original_and_picture() -> tuple[np.ndarray, np.ndarray]:
    mosaic = (255 * uniform("paste/original", (34, 34, 3)).numpy()).astype(np.uint8)
    original = np.kron(mosaic, np.ones((16, 16, 1), np.uint8))
    return original, (uniform("paste/public", (512, 512, 3)).numpy() * 255).astype(np.uint8)


def test_region_is_the_released_programs():
    golden = load_file(GOLDEN / "paste_back.safetensors")
    x1, y1, x2, y2 = golden["bbox"]
    original, picture = original_and_picture()
    pasted = media.paste_back(original, picture, golden["bbox"])
    assert pasted.dtype == np.uint8
    difference = np.abs(pasted[y1:y2, x1:x2].astype(int) - golden["region"])
    assert difference.max() <= 1  # the contract's bar
    # OpenCV's resize rounds a few pixels in a million differently from version to version.
    assert np.mean(difference > 0) < 1e-4


def test_only_the_box_changes_and_the_original_is_left_alone():
    original, picture = original_and_picture()
    before = original.copy()
    pasted = media.paste_back(original, picture, (100, 50, 301, 250))  # a pixel off square
    assert np.array_equal(original, before)
    outside = np.ones(original.shape[:2], bool)
    outside[50:250, 100:301] = False
    assert np.array_equal(pasted[outside], original[outside])
    # The ramps start at nothing, so the box's outermost pixels are the original's, to the truncation.
    assert np.abs(pasted[50, 100:301].astype(int) - original[50, 100:301]).max() <= 1


def test_inside_of_the_border_is_the_picture():
    original = np.zeros((300, 300, 3), np.uint8)
    picture = np.full((64, 64, 3), 200, np.uint8)
    pasted = media.paste_back(original, picture, [50, 50, 250, 250])
    # 200 / 255 * 255 in float32 may come out just below 200 and is truncated.
    assert set(np.unique(pasted[70:230, 70:230])) <= {199, 200}
    fade = pasted[150, 50:70, 0].astype(float)  # 20 pixels, a tenth of 200
    np.testing.assert_allclose(fade, np.linspace(0, 200, 20), atol=1)


def test_box_too_small_for_a_border_is_replaced_whole():
    pasted = media.paste_back(np.zeros((20, 20, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8), (3, 3, 8, 8))
    assert (pasted[3:8, 3:8] == 255).all()
    assert pasted.sum() == 25 * 3 * 255


@pytest.mark.parametrize("box", [(-1, 0, 10, 10), (0, 0, 21, 10), (5, 5, 5, 10), (0, 9, 9, 3)])
def test_box_outside_the_original_is_named(box):
    with pytest.raises(ValueError, match="box"):
        media.paste_back(np.zeros((20, 20, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), box)


def test_only_8_bit_rgb_is_taken():
    with pytest.raises(ValueError, match="picture must be"):
        media.paste_back(np.zeros((20, 20, 3), np.uint8), np.zeros((8, 8, 3)), (0, 0, 8, 8))
