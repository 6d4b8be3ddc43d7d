"""The figures are what arithmetic says of videos whose figures are known."""

import dataclasses
import json

import numpy as np
import pytest

from diffusers_hunyuan_portrait import evaluation
from diffusers_hunyuan_portrait.drawn_faces import Identity, Motion
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.evaluation import VideoFigures, figures

SIZE = 64
YAW, SMILE = Motion.names().index("yaw"), Motion.names().index("smile")


class OneMindedReader:
    """Reads the same numbers from every frame: `motion` from each motion parameter, `identity` from the others."""

    def __init__(self, motion: float = 0.0, identity: float = 0.0):
        self.motion, self.identity = motion, identity

    def read(self, frames):
        shapes = ((len(frames), len(Motion.names())), (len(frames), len(Identity.names())))
        return np.full(shapes[0], self.motion), np.full(shapes[1], self.identity)


@pytest.fixture(scope="module")
def pair():
    """The first pair, cut to three frames."""
    pair = evaluation.make_pairs(1)[0]
    return dataclasses.replace(pair, driving=pair.driving[::8])


def video(psnr=20.0, motion=0.0, identity=0.1, change=0.02, **errors):
    """A video's figures, with `motion` as the error of every motion parameter that `errors` does not name."""
    return VideoFigures(psnr, np.array([errors.get(name, motion) for name in Motion.names()]), identity, change)


def pair_of_videos(result, control=None, truth=None, repeated=None):
    """A pair's videos: the reader is off by 0.1 on the truth, and by 0.5 on the portrait repeated."""
    videos = {
        figures.TRUTH: truth or video(psnr=figures.HIGHEST_PSNR, motion=0.1),
        figures.REPEATED: repeated or video(psnr=15.0, motion=0.5, change=0.0),
        figures.DRIVER: video(psnr=8.0, motion=0.3, identity=0.4),
        figures.RESULT: result,
    }
    return videos if control is None else {**videos, figures.CONTROL: control}


class TestOneVideo:
    def test_the_truth_itself_has_the_highest_psnr_and_its_own_change(self, pair):
        truth = pair.draw_truth(SIZE)
        measured = evaluation.measure(truth, pair, OneMindedReader())
        assert measured.psnr == figures.HIGHEST_PSNR
        steps = np.abs(np.diff(truth.astype(int), axis=0)) / 255
        assert measured.change == pytest.approx(steps.mean())
        assert measured.change > 0

    def test_a_still_video_does_not_change(self, pair):
        still = np.broadcast_to(pair.draw_portrait(SIZE), (3, SIZE, SIZE, 3))
        assert evaluation.measure(still, pair, OneMindedReader()).change == 0

    def test_psnr_is_the_mean_over_frames_of_pictures_in_0_to_1(self, pair):
        off_by_one = pair.draw_truth(SIZE).astype(int)
        off_by_one += np.where(off_by_one < 128, 1, -1)  # every value of every frame by 1 of 255
        measured = evaluation.measure(off_by_one.astype(np.uint8), pair, OneMindedReader())
        assert measured.psnr == pytest.approx(20 * np.log10(255))
        first_alone = pair.draw_truth(SIZE)
        first_alone[0] = off_by_one[0]
        measured = evaluation.measure(first_alone, pair, OneMindedReader())
        assert measured.psnr == pytest.approx((20 * np.log10(255) + 2 * figures.HIGHEST_PSNR) / 3)

    def test_errors_are_mean_distances_from_the_true_numbers(self, pair):
        measured = evaluation.measure(pair.draw_truth(SIZE), pair, OneMindedReader(motion=5.0, identity=-3.0))
        true_yaw = np.mean([motion.yaw for motion in pair.truth]) / 30  # of a range of ±30 degrees
        assert measured.motion_error[YAW] == pytest.approx(5 - true_yaw, abs=1e-6)
        assert measured.identity_error == pytest.approx(3 + pair.identity.to_vector().mean(), abs=1e-6)

    def test_a_video_of_another_length_is_refused(self, pair):
        with pytest.raises(UserError, match="3 square frames"):
            evaluation.measure(np.zeros((2, SIZE, SIZE, 3), np.uint8), pair, OneMindedReader())


class TestAllPairs:
    def test_the_truth_has_no_error_and_the_portrait_repeated_has_all_of_it(self):
        rows = evaluation.summarise([pair_of_videos(video())]).rows
        truth, repeated = rows[figures.TRUTH], rows[figures.REPEATED]
        assert (truth.head, truth.face, truth.all, truth.identity, truth.change) == (0, 0, 0, 1, 1)
        assert (repeated.head, repeated.face, repeated.all, repeated.change) == (1, 1, 1, 0)
        assert set(repeated.motion.values()) == {1.0}

    def test_a_motion_error_counts_above_the_readers_own_on_the_same_pair(self):
        result = evaluation.summarise([pair_of_videos(video(motion=0.2))]).rows[figures.RESULT]
        assert result.motion["yaw"] == pytest.approx((0.2 - 0.1) / (0.5 - 0.1))
        better_than_the_reader = evaluation.summarise([pair_of_videos(video(motion=0.05))]).rows[figures.RESULT]
        assert better_than_the_reader.all == 0

    def test_errors_are_added_over_the_pairs_before_they_are_divided(self):
        hardly_moving = pair_of_videos(video(motion=0.2), repeated=video(motion=0.15))
        result = evaluation.summarise([pair_of_videos(video(motion=0.1)), hardly_moving]).rows[figures.RESULT]
        assert result.all == pytest.approx((0 + 0.1) / (0.4 + 0.05))

    def test_head_and_face_are_told_apart(self):
        result = evaluation.summarise([pair_of_videos(video(motion=0.1, yaw=0.5, smile=0.3))]).rows[figures.RESULT]
        assert result.head == pytest.approx(1 / 6)
        assert result.face == pytest.approx(0.5 / 7)
        assert set(figures.HEAD + figures.FACE) == set(Motion.names())

    def test_identity_and_change_are_relative_to_the_truth(self):
        result = evaluation.summarise([pair_of_videos(video(identity=0.15, change=0.03))]).rows[figures.RESULT]
        assert (result.identity, result.change) == (pytest.approx(1.5), pytest.approx(1.5))

    def test_shares_of_the_range_are_half_of_the_scaled_errors(self):
        summary = evaluation.summarise([pair_of_videos(video())])
        assert summary.reader_error["jaw"] == pytest.approx(0.05)
        assert summary.repeated_error["jaw"] == pytest.approx(0.2)

    def test_figures_survive_json(self):
        summary = evaluation.summarise([pair_of_videos(video(), control=video(motion=0.4))])
        assert evaluation.Figures.from_dict(json.loads(json.dumps(summary.to_dict()))) == summary

    def test_the_tables_name_every_video_and_every_parameter(self):
        table = evaluation.summarise([pair_of_videos(video(psnr=19.25, motion=0.2))]).to_markdown()
        assert "| result | 19.25 | 25% | 25% | 1.00 | 1.00 |" in table
        assert "| portrait repeated | 15.00 | 100% | 100% |" in table
        assert all(f"| {name} | 5.0% | 20.0% |" in table for name in Motion.names())


class TestBars:
    GOOD = video(psnr=19.5, motion=0.2, identity=0.14, change=0.023)

    def failures(self, control=None, **changes):
        result = dataclasses.replace(self.GOOD, **changes)
        return evaluation.check_bars(evaluation.summarise([pair_of_videos(result, control)]))

    def test_a_good_result_reaches_all(self):
        assert self.failures(control=video(motion=0.4)) == []

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"psnr": 18.9}, "PSNR is 3.90 dB"),
            ({"motion_error": video(motion=0.1, yaw=1.0).motion_error}, "head pose, position and size is 37.5%"),
            ({"motion_error": video(motion=0.1, smile=1.9).motion_error}, "gaze, brows, jaw and mouth is 64.3%"),
            ({"identity_error": 0.16}, "identity's error is 1.60 times"),
            ({"change": 0.015}, "change is 0.75 times"),
            ({"change": 0.025}, "change is 1.25 times"),
        ],
    )
    def test_each_bar_that_is_missed_is_named(self, changes, complaint):
        failures = self.failures(**changes)
        assert len(failures) == 1
        assert complaint in failures[0]

    def test_a_model_that_another_motion_drives_as_well_is_not_driven(self):
        failures = self.failures(control=video(motion=0.25))
        assert len(failures) == 1
        assert "1.50 times" in failures[0]
