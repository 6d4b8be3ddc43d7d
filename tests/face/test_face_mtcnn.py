"""The bundled detector on a real face: where it finds it, and pictures that would trip it."""

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from diffusers_hunyuan_portrait import face

# What another implementation of MTCNN finds with these weights, to the tenth of a pixel.
ASTRONAUT_BOX = [181, 62, 268, 172]
ASTRONAUT_POINTS = [[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]]
# How windows are rounded moves the result: in a dozen plausible ways points by up to 1.6 pixels, sides by 4.
POINT_TOLERANCE, SIDE_TOLERANCE = 1.5, 2.5


@pytest.fixture(scope="module")
def detector():
    return face.load_detector("mtcnn")


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return data.astronaut()


def largest(faces: list[face.Face]) -> face.Face:
    return max(faces, key=lambda found: found.area)


def assert_is_astronaut(found: face.Face, scale: float = 1.0, shift: tuple[float, float] = (0, 0)) -> None:
    box = (found.box - np.tile(shift, 2)) / scale
    assert np.abs(box - ASTRONAUT_BOX).max() < SIDE_TOLERANCE
    assert np.abs((found.landmarks - shift) / scale - ASTRONAUT_POINTS).max() < POINT_TOLERANCE
    assert found.score > 0.95


def test_astronaut(detector, astronaut):
    assert detector.name == "mtcnn"
    assert_is_astronaut(largest(detector.detect(astronaut)))


def test_the_answer_is_the_same_each_time(detector, astronaut):
    first, second = (largest(detector.detect(astronaut)) for _ in range(2))
    np.testing.assert_array_equal(first.box, second.box)
    np.testing.assert_array_equal(first.landmarks, second.landmarks)


@pytest.mark.parametrize("side", [379, 1500, 4001])
def test_coordinates_are_those_of_the_picture_whatever_its_size(detector, astronaut, side):
    picture = cv2.resize(astronaut, (side, side), interpolation=cv2.INTER_LINEAR)
    assert_is_astronaut(largest(detector.detect(picture)), scale=side / 512)


def test_points_follow_the_face(detector, astronaut):
    moved = np.roll(astronaut, (37, 21), axis=(0, 1))
    assert_is_astronaut(largest(detector.detect(moved)), shift=(21, 37))


def test_points_are_steady(detector, astronaut):
    """Moved by fractions of a pixel, the points move along, to less than half a pixel on the whole."""
    points = []
    for shift in np.linspace(0, 8, 9):
        move = np.array([[1, 0, shift], [0, 1, shift / 2]])
        points.append(largest(detector.detect(cv2.warpAffine(astronaut, move, (512, 512)))).landmarks - move[:, 2])
    assert np.std(points, axis=0).mean() < 0.4  # a single look at the face: 0.4 to 0.5; here 0.2


def test_a_mirror_image_gives_mirrored_points_in_the_same_order(detector, astronaut):
    found = largest(detector.detect(np.ascontiguousarray(astronaut[:, ::-1])))
    expected = np.array(ASTRONAUT_POINTS)[[1, 0, 2, 4, 3]]
    expected[:, 0] = 512 - expected[:, 0]
    assert np.abs(found.landmarks - expected).max() < POINT_TOLERANCE


def test_each_of_several_faces_is_found_once(detector, astronaut):
    half = cv2.resize(astronaut[:256], (256, 128), interpolation=cv2.INTER_AREA)
    picture = np.zeros((256, 900, 3), dtype=np.uint8)
    picture[:, :512] = astronaut[:256]
    picture[50:178, 600:856] = half
    sure = [found for found in detector.detect(picture) if found.score > 0.95]
    assert sorted(int(found.box[0]) // 300 for found in sure) == [0, 2]
    assert_is_astronaut(largest(sure))


def test_a_face_that_reaches_over_the_edge_is_found(detector, astronaut):
    cropped = np.ascontiguousarray(astronaut[80:300, 195:400])
    points = largest(detector.detect(cropped)).landmarks
    assert (
        np.abs(points - np.array(ASTRONAUT_POINTS) + [195, 80]).max() < 5
    )  # a part of the face is not to be seen


def test_a_grey_picture_serves(detector, astronaut):
    grey = astronaut.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    assert np.abs(largest(detector.detect(grey)).landmarks - ASTRONAUT_POINTS).max() < 2 * POINT_TOLERANCE


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (11, 11), (12, 12), (20, 21), (1, 5000), (5000, 3), (37, 61)])
def test_tiny_pictures_show_no_face(detector, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert detector.detect(noise) == []
    assert detector.detect(np.zeros_like(noise)) == []


def test_noise_shows_no_face(detector):
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert detector.detect(noise) == []


def test_the_number_of_threads_is_left_as_it_was(detector, astronaut):
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        detector.detect(astronaut[:256])
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_the_picture_is_left_as_it_was(detector, astronaut):
    picture = astronaut.copy()
    picture.flags.writeable = False
    detector.detect(picture)
    np.testing.assert_array_equal(picture, astronaut)


def test_the_aligned_face_has_its_eyes_on_the_template(detector, astronaut):
    aligned = face.crop_portrait(astronaut, detector).arcface_image
    pixels = np.kron((aligned * 255).astype(np.uint8), np.ones((2, 2, 1), dtype=np.uint8))
    found = largest(detector.detect(np.pad(pixels, ((60, 60), (60, 60), (0, 0)))))
    # A similarity cannot bring all of a person's points onto the mean face's: her long face leaves 3 pixels.
    assert np.abs((found.landmarks[:2] - 60) / 2 - [[38.3, 51.7], [73.5, 51.5]]).max() < 4


def test_frames_together_have_the_faces_that_each_has_alone(detector, astronaut):
    frames = [astronaut, np.roll(astronaut, 21, axis=1), np.zeros_like(astronaut), astronaut[:, ::-1].copy()]
    together = detector.detect_batch(frames)
    assert [len(faces) for faces in together] == [len(detector.detect(frame)) for frame in frames]
    assert together[2] == []
    for faces, frame in zip(together, frames, strict=True):
        for found, alone in zip(faces, detector.detect(frame), strict=True):
            # Sums in another order can move a window by a part of a pixel, and all after it: seen up to 0.02.
            np.testing.assert_allclose(found.landmarks, alone.landmarks, rtol=0, atol=0.1)
            np.testing.assert_allclose(found.box, alone.box, rtol=0, atol=0.1)


def test_pictures_too_small_to_be_searched_have_no_face(detector):
    assert detector.detect_batch([np.zeros((8, 8, 3), np.uint8)] * 2) == [[], []]
