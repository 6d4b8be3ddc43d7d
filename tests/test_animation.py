"""The whole job: its memory over long clips, sound, times, and what is left when it fails."""

import subprocess
import sys
from pathlib import Path


KIB_A_FRAME = 128 + 3 * 64  # motion tokens in half precision, and three copies of the latents


def peak_kib(num_frames: int, folder: Path) -> int:
    script = Path(__file__).with_name("long_clip.py")
    done = subprocess.run(
        [sys.executable, str(script), str(num_frames), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def test_memory_grows_by_tokens_and_latents_alone(tmp_path):
    short, long = peak_kib(200, tmp_path), peak_kib(2000, tmp_path)
    print(f"peak of 200 frames {short} KiB, of 2,000 frames {long} KiB: {(long - short) / 1800:.0f} KiB a frame")
    # 32 MiB beside: what the allocator keeps, and codecs whose queues a short clip does not fill.
    assert long - short < 1800 * KIB_A_FRAME + 32 * 1024
