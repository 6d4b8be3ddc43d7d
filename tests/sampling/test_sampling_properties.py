"""Windows over clips of any length: every frame is in one at every step, and means are means."""

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from diffusers_hunyuan_portrait.sampling import accumulate_window, count_entries, plan_windows

settings_of_windows = st.tuples(
    st.integers(1, 200), st.integers(1, 60), st.integers(0, 59), st.integers(0, 80), st.integers(0, 300)
)


@given(settings_of_windows)
def test_every_frame_is_in_a_window_at_every_step(numbers):
    num_frames, size, overlap, shift, step = numbers
    assume(overlap < size)
    windows = plan_windows(num_frames, size, overlap, shift, step)
    for window in windows:
        frames = window.on("cpu")
        assert len(frames) == size
        assert ((frames[1:] - frames[:-1]) % num_frames == 1 % num_frames).all()
    counts = count_entries(windows)
    assert counts.min() >= 1
    assert counts.sum() == size * len(windows)


@given(settings_of_windows)
def test_windows_that_agree_give_what_they_say(numbers):
    num_frames, size, overlap, shift, step = numbers
    assume(overlap < size)
    said = torch.arange(num_frames, dtype=torch.float32).view(1, -1, 1)
    windows = plan_windows(num_frames, size, overlap, shift, step)
    total = torch.zeros_like(said)
    for window in windows:
        accumulate_window(total, said[:, window.on("cpu")], window)
    torch.testing.assert_close(total / count_entries(windows).view(1, -1, 1), said)
