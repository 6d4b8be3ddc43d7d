"""Many jobs from many programs: all are answered, memory does not grow with them, and no file is left."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from demo_server import FRAMES, PATIENCE, count_frames, environment, wait_until

PROCESSES, JOBS_EACH = 4, 5
FIRST = 5  # the job from which on memory is looked at: caches fill before
CLIENT = """
import sys
from gradio_client import Client, handle_file

address, portrait, driving, folder, first, count = sys.argv[1:]
client = Client(address, verbose=False, download_files=folder)
files = handle_file(portrait), handle_file(driving)
first, count = int(first), int(count)
settings = dict(steps=2, height="64", width="64")
jobs = [client.submit(*files, seed=str(first + job), **settings, api_name="/animate") for job in range(count)]
for job in jobs:
    print(job.result(), flush=True)
"""


def test_twenty_jobs_from_four_processes(server, demo_media, tmp_path):
    before, served = set(server.files), psutil.Process(server.process.pid)
    memory: list[float] = []  # MB after each job
    moments: list[float] = []  # seconds, of these
    videos: list[Path] = []
    lock, start = threading.Lock(), time.monotonic()

    def listen(client: subprocess.Popen) -> None:
        for line in client.stdout:
            with lock:
                moments.append(time.monotonic() - start)
                memory.append(served.memory_info().rss / 2**20)
                videos.append(Path(line.strip()))

    files = [str(demo_media.portrait), str(demo_media.driving)]
    clients = []
    for number in range(PROCESSES):
        words = [server.address, *files, str(tmp_path), str(JOBS_EACH * number), str(JOBS_EACH)]
        clients.append(
            subprocess.Popen(
                [sys.executable, "-c", CLIENT, *words], stdout=subprocess.PIPE, text=True, env=environment()
            )
        )
    listeners = [threading.Thread(target=listen, args=[client]) for client in clients]
    for listener in listeners:
        listener.start()
    for client in clients:
        assert client.wait(5 * PATIENCE) == 0
    for listener in listeners:
        listener.join()

    assert len(videos) == PROCESSES * JOBS_EACH
    assert [count_frames(video) for video in videos] == [FRAMES] * len(videos)
    assert len({video.read_bytes() for video in videos}) == len(videos)  # each its own, of its own seed
    late = np.array(memory[FIRST - 1 :])
    slope = np.polyfit(np.arange(len(late)), late, 1)[0] / late.mean()
    print(f"jobs answered after {[round(moment) for moment in moments]} s")
    print(f"memory after each job: {[round(size) for size in memory]} MB; slope {slope:.2%} a job")
    assert slope < 0.01
    wait_until(lambda: set(server.files) <= before, "their files are removed")
