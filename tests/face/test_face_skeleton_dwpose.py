"""DWPose by rtmlib, on small networks with the interface of its files: whose points they are, and where."""

import sys

import numpy as np
import pytest
from astronaut import portrait_picture
from dwpose_files import BODY, DOG, PERSON, dotted, write_dwpose

from diffusers_hunyuan_portrait.errors import CheckpointError, UserError
from diffusers_hunyuan_portrait.face import Face, load_detector
from diffusers_hunyuan_portrait.face.skeletons import fit_to_portrait
from diffusers_hunyuan_portrait.face.skeletons.dwpose import DETECTOR_FILE, POSE_FILE, DWPose
from diffusers_hunyuan_portrait.hub.dwpose import load_pose_estimator

# COCO's points as OpenPose orders them; the neck is between the shoulders.
ORDER = [0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
GREY = np.full((480, 640, 3), 90, np.uint8)


def face_at(x: float, y: float, side: float = 60) -> Face:
    """A face whose nose is there."""
    points = np.array([[-0.15, -0.1], [0.15, -0.1], [0, 0], [-0.1, 0.2], [0.1, 0.2]]) * side + [x, y]
    return Face([x - side / 2, y - side / 2, x + side / 2, y + side / 2], points, 0.9)


def expected_body(nose: tuple[float, float], width: float, height: float) -> np.ndarray:
    """Where the body's points are, (18, 2), for a person's box of this size: RTMPose sees a quarter more of it,
    made as wide as 3:4 asks, in 288×384 pixels."""
    scale = 1.25 * max(width, height * 3 / 4) / 288
    points = np.array(BODY, float)
    neck = (points[5] + points[6]) / 2
    return np.array([neck if number is None else points[number] for number in ORDER]) * scale + nose


@pytest.fixture
def load(tmp_path):
    def load(*boxes):
        return DWPose(write_dwpose(tmp_path / "dwpose", boxes))

    return load


def test_points_are_where_the_person_is_in_openposes_order(load):
    """The picture is 640×480, so that the detector's square shows it at its own size."""
    estimator = load((170, 20, 470, 420, PERSON))
    keypoints = estimator.estimate(dotted(GREY, (310, 100)), face_at(310, 100))
    assert (keypoints.shape, keypoints.dtype) == ((134, 3), np.float32)
    scale = 1.25 * 300 / 288
    # A dot has a width, and the bluest of its pixels is the first of several.
    np.testing.assert_allclose(keypoints[:18, :2], expected_body((310, 100), 300, 400), atol=4 * scale)
    np.testing.assert_allclose(keypoints[:18, 2], 0.55, atol=0.05)


def test_points_out_of_what_it_sees_are_three_zeros(load):
    keypoints = load((290, 80, 330, 130, PERSON)).estimate(dotted(GREY, (310, 125)), face_at(310, 125))
    assert (keypoints[[0, 14], 2] > 0).all()
    for knee in (9, 12):
        assert keypoints[knee].tolist() == [0, 0, 0]


def test_each_network_gets_the_colours_in_its_order(load):
    """The stand-ins know blue by the third channel in the one, and by the first in the other."""
    estimator = load((170, 20, 470, 420, PERSON))
    blue = dotted(GREY, (310, 100))
    assert estimator.estimate(blue, face_at(310, 100))[0, 2] > 0
    assert not estimator.estimate(np.ascontiguousarray(blue[:, :, ::-1]), face_at(310, 100)).any()


def test_the_person_with_the_face_is_taken(load):
    two = dotted(GREY, (160, 100), (480, 100))
    estimator = load((20, 20, 300, 460, PERSON), (340, 20, 620, 460, PERSON))
    for x in (160, 480):
        keypoints = estimator.estimate(two, face_at(x, 100))
        np.testing.assert_allclose(keypoints[0, :2], [x, 100], atol=6)
        assert (keypoints[keypoints[:, 2] > 0, 0] < 320).mean() == (1 if x == 160 else 0)


def test_of_boxes_about_the_face_that_with_the_nearest_counts(load):
    """The larger box holds both people, and shows the other one first."""
    two = dotted(GREY, (160, 100), (480, 100))
    estimator = load((0, 0, 640, 480, PERSON), (340, 20, 620, 460, PERSON))
    np.testing.assert_allclose(estimator.estimate(two, face_at(480, 100))[0, :2], [480, 100], atol=6)


def test_somebody_else_is_not_taken_for_the_person(load):
    estimator = load((20, 20, 300, 460, PERSON))
    assert not estimator.estimate(dotted(GREY, (160, 100)), face_at(480, 100)).any()


def test_what_is_no_person_is_not_looked_at(load):
    """In a dog's box all would be larger: without a person's, the whole picture is searched."""
    estimator = load((300, 90, 320, 110, DOG))
    keypoints = estimator.estimate(dotted(GREY, (310, 100)), face_at(310, 100))
    np.testing.assert_allclose(keypoints[:18, :2], expected_body((310, 100), 640, 480), atol=12)


def test_without_people_there_is_nothing(load):
    assert not load().estimate(GREY, face_at(310, 100)).any()


def test_a_portrait_is_fitted_to_itself(load):
    picture = dotted(portrait_picture(), (225, 129))
    face = max(load_detector("mtcnn").detect(picture), key=lambda face: face.area)
    keypoints = load().estimate(picture, face)
    (fitted,) = fit_to_portrait(keypoints[None], keypoints, (0, 0, 512, 512), 512, 512, keep_eyes=True)
    np.testing.assert_allclose(fitted, keypoints, atol=1e-3)


def test_files_are_found_by_folder_by_file_and_by_environment(tmp_path, monkeypatch):
    folder = write_dwpose(tmp_path / "dwpose")
    monkeypatch.delenv("HUNYUAN_PORTRAIT_DWPOSE", raising=False)
    for path in (folder, folder / POSE_FILE):
        assert load_pose_estimator("dwpose", path=path).name == "dwpose"
    monkeypatch.setenv("HUNYUAN_PORTRAIT_DWPOSE", str(folder))
    assert load_pose_estimator("dwpose").name == "dwpose"
    assert load_pose_estimator("none") is None


def test_what_is_printed_is_not_ours(load, capfd):
    load()
    assert capfd.readouterr().out == ""


def test_missing_and_other_files_are_told(tmp_path):
    with pytest.raises(CheckpointError, match=rf"no file .*{DETECTOR_FILE}; download it from yzd-v/DWPose"):
        load_pose_estimator("dwpose", path=tmp_path)
    folder = write_dwpose(tmp_path / "dwpose")
    (folder / DETECTOR_FILE).write_bytes((folder / POSE_FILE).read_bytes())
    with pytest.raises(CheckpointError, match=rf"is not {DETECTOR_FILE} of yzd-v/DWPose: it takes"):
        load_pose_estimator("dwpose", path=folder)
    (folder / DETECTOR_FILE).write_bytes(b"no network")
    with pytest.raises(CheckpointError, match="is not an ONNX file that runs"):
        load_pose_estimator("dwpose", path=folder)
    (folder / POSE_FILE).unlink()
    with pytest.raises(CheckpointError, match=rf"no file .*{POSE_FILE}"):
        load_pose_estimator("dwpose", path=folder)


def test_bad_settings_are_told(tmp_path):
    with pytest.raises(UserError, match="no pose 'openpose'; choose none or dwpose"):
        load_pose_estimator("openpose")
    with pytest.raises(UserError, match="Without a pose its files are not needed"):
        load_pose_estimator("none", path=tmp_path)


def test_without_rtmlib_it_says_what_brings_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(UserError, match=r"DWPose needs rtmlib; install it with .*\[dwpose\]"):
        load_pose_estimator("dwpose", path=write_dwpose(tmp_path / "dwpose"))
