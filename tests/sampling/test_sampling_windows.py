"""Windows over a clip, worked out by hand, and the mean of what is predicted in them."""

import pytest
import torch

from diffusers_hunyuan_portrait.sampling import Window, accumulate_window, count_entries, plan_windows


def listed(*settings) -> list[list[int]]:
    return [window.on("cpu").tolist() for window in plan_windows(*settings)]


def test_windows_start_over_the_whole_clip_and_go_around():
    """The one from 15 reaches the end at 22; the starts are those of range(0, 20, 8 - 3)."""
    assert listed(20, 8, 3, 3, 0) == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [5, 6, 7, 8, 9, 10, 11, 12],
        [10, 11, 12, 13, 14, 15, 16, 17],
        [15, 16, 17, 18, 19, 0, 1, 2],
    ]


def test_windows_start_earlier_at_each_step():
    assert listed(20, 8, 3, 3, 1) == [
        [17, 18, 19, 0, 1, 2, 3, 4],
        [2, 3, 4, 5, 6, 7, 8, 9],
        [7, 8, 9, 10, 11, 12, 13, 14],
        [12, 13, 14, 15, 16, 17, 18, 19],
    ]


def test_the_shift_goes_around_at_the_windows_length():
    """At step 3 windows have moved 3 · 3 mod 8 = 1 frame, not 9."""
    assert listed(20, 8, 3, 3, 3)[0] == [19, 0, 1, 2, 3, 4, 5, 6]
    assert listed(20, 8, 3, 3, 8) == listed(20, 8, 3, 3, 0)


def test_a_window_follows_even_where_an_earlier_one_reached_the_end():
    """28 frames in windows of 25: the first but three end with the first window, and a second starts at 22."""
    windows = listed(28, 25, 3, 3, 0)
    assert [window[0] for window in windows] == [0, 22]
    assert windows[1] == [22, 23, 24, 25, 26, 27, *range(19)]
    assert [window[0] for window in listed(25, 25, 3, 3, 0)] == [0, 22]


def test_a_short_clip_repeats_in_its_window():
    assert listed(3, 8, 3, 1, 0) == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert listed(3, 8, 3, 1, 1) == [[2, 0, 1, 2, 0, 1, 2, 0]]
    assert listed(1, 4, 1, 3, 2) == [[0, 0, 0, 0]]


def test_every_entry_is_counted():
    assert count_entries(plan_windows(3, 8, 3, 1, 0)).tolist() == [3, 3, 2]
    assert count_entries(plan_windows(20, 8, 3, 3, 0)).tolist() == [2, 2, 2, 1, 1] + [2, 2, 2, 1, 1] * 3


@pytest.mark.parametrize(("num_frames", "step"), [(1, 0), (3, 2), (7, 1), (20, 5)])
def test_the_mean_is_that_of_all_entries(num_frames, step):
    """Against a sum of one entry at a time."""
    windows = plan_windows(num_frames, 8, 3, 3, step)
    generator = torch.Generator().manual_seed(0)
    predictions = [torch.randn(1, 8, 2, generator=generator) for _ in windows]
    total, entries = torch.zeros(1, num_frames, 2), [[] for _ in range(num_frames)]
    for window, prediction in zip(windows, predictions, strict=True):
        accumulate_window(total, prediction, window)
        for place, frame in enumerate(window.on("cpu").tolist()):
            entries[frame].append(prediction[0, place])
    mean = total / count_entries(windows).view(-1, 1)
    torch.testing.assert_close(mean[0], torch.stack([torch.stack(entry).mean(0) for entry in entries]))


def test_half_precision_is_summed_in_the_totals_type():
    total = torch.zeros(1, 1, 1)
    for _ in range(4096):
        accumulate_window(total, torch.ones(1, 1, 1, dtype=torch.float16), Window(0, 1, 1))
    assert total.item() == 4096  # a float16 sum stays at 2048
