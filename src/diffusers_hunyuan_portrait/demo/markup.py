"""What the page says of a job, as HTML: a sentence for everybody, and a bar for the eyes."""

import html

from .faces import jpeg_as_data
from .workshop import Job

STAGES = {
    "detect": ("Following the face", 1),
    "encode": ("Reading the motion", 2),
    "denoise": ("Making the pictures", 3),
    "decode": ("Writing the video", 4),
}


def notice_of(sentence: str) -> str:
    """Something that went wrong, which a screen reader tells at once."""
    return f'<p role="alert" class="problem">{html.escape(sentence)}</p>'


def sentence_of(job: Job, ahead: int) -> str:
    """What a job is at; changes from stage to stage only."""
    if job.state == "waiting":
        said = "Next in the queue." if ahead == 0 else f"Waiting: {ahead} {_plural(ahead, 'job')} before this one."
    elif job.state == "done":
        said = f"Done in {clock(job.seconds)}."
    elif job.state == "cancelled":
        said = "Cancelled."
    elif job.stage is None:
        said = "Reading the files."
    else:
        name, number = STAGES[job.stage.name]
        said = f"{name} (stage {number} of {len(STAGES)})."
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in job.notes)
    return f'<p role="status">{said}</p>{notes}'


def bar_of(job: Job) -> str:
    """How far it is, the time left of the stage, and the latest look at it."""
    if job.state != "running" or job.stage is None:
        return ""
    stage = job.stage
    name, _ = STAGES[stage.name]
    left = stage.seconds_left
    said = f"{stage.done} of {stage.total}" + ("" if left is None else f", about {clock(left)} left")
    look = ""
    if job.preview is not None:
        look = f'<img alt="The middle frame so far" src="{jpeg_as_data(job.preview)}">'
    return (
        f'<div class="progress"><progress aria-label="{name}" max="{stage.total}" value="{stage.done}"></progress>'
        f"<span>{said}</span></div>{look}"
    )


def clock(seconds: float) -> str:
    """ "4 s" or "1:05 min"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d} min"


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else noun + "s"
