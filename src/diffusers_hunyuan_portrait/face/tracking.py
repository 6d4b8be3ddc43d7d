"""One person's face through a clip: who of several is followed, and what stands in where the face is missed."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableMediaError
from .choosing import Chooser, choose_largest
from .detection.interface import Face
from .pixels import Picture

# How far a face's centre may move from one frame to the next and still be taken for the same, and how much further
# for every frame that it was missed in between, in parts of its side.
REACH, REACH_PER_MISSED = 0.8, 0.1
GROWTH = 1.8  # how many times larger or smaller it may be
FORGOTTEN_AFTER = 50  # frames for which other people out of view are still known where they were
# A face somewhere else is the person come back only where it is no smaller than this part of the last one: what is
# smaller is somebody far behind, or a hand that a detector takes for a face.
LEAST_RETURN = 1 / 3

THUMBNAIL = 32  # pixels a side, in which cuts of the film are looked for
# Of 255, the mean difference of two thumbnails. On thirteen real clips neighbours within a scene differed by at
# most 5.4 and across a cut by at least 45.
CUT_DIFFERENCE = 15

LONGEST_BRIDGE = 5  # frames; in 0.2 s at 25 a second a face moves little, and as good as evenly
SMOOTHED = 9  # frames about each that a smoothed one is taken from
SMOOTHING_DEGREE = 2


class Known(Protocol):
    """A person who can be told from others."""

    def is_shown(self, picture: Picture, face: Face) -> bool:
        """Whether it is the person's face."""
        ...


@dataclass(frozen=True, eq=False)
class Sighting:
    """A frame, and where the followed person's face is in it."""

    picture: Picture  # (H, W, 3) uint8 RGB
    faces: Sequence[Face]  # all that were found
    face: Face | None  # of the person; None where it is out of view
    bridged: bool = False  # not found, but taken as between the frames before and after
    is_cut: bool = False  # the film cuts to another scene here


class FaceTracker:
    """Tells one person's face from the others in the frames of a clip, given in order.

    Everybody in view is followed from frame to frame by place and size, so that nobody is taken for the person
    whom something hides for a while. Where the person comes back somewhere else, the largest face that is nobody
    else's is taken, if it is the person's as far as is known. After a cut in the film, places tell nothing any
    more: the person is the one known, and chosen anew where nobody can be.

    Args:
        choose: picks the person out of the faces in the first frame in which it finds them.
        know: gets to know the person by the picture and face chosen; nobody is denied without it.
    """

    def __init__(
        self, choose: Chooser = choose_largest, know: Callable[[Picture, Face], Known] | None = None
    ) -> None:
        self.choose, self.know = choose, know
        self._known: Known | None = None
        self._thumbnail: NDArray[np.float32] | None = None
        self._person: _Track | None = None
        self._others: list[_Track] = []

    def follow(self, picture: Picture, faces: Sequence[Face]) -> Sighting:
        """The person in the next frame, in which these faces were found."""
        is_cut = self._is_cut(picture)
        if is_cut:
            self._person, self._others = None, []
        face = self._meet(faces, picture) if self._person is None else self._go_on(faces, picture)
        return Sighting(picture, faces, face, is_cut=is_cut)

    def _is_cut(self, picture: Picture) -> bool:
        size = (THUMBNAIL, THUMBNAIL)
        before = self._thumbnail
        self._thumbnail = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        return before is not None and bool(np.abs(self._thumbnail - before).mean() > CUT_DIFFERENCE)

    def _meet(self, faces: Sequence[Face], picture: Picture) -> Face | None:
        """The person in the first frame of a scene that shows the face."""
        if self._known is not None:
            face = next((face for face in _by_size(faces) if self._known.is_shown(picture, face)), None)
        else:
            face = self.choose(faces, picture) if faces else None
        if face is None:
            return None
        if self._known is None and self.know is not None:
            self._known = self.know(picture, face)
        self._person = _Track(face)
        self._others = [_Track(other) for other in faces if other is not face]
        return face

    def _go_on(self, faces: Sequence[Face], picture: Picture) -> Face | None:
        assert self._person is not None
        found = _match([self._person, *self._others], faces)
        strangers = [face for face in faces if not any(face is seen for seen in found.values())]
        if self._person not in found:
            returned = self._find_returned(strangers, picture)
            if returned is not None:
                found[self._person] = returned
                strangers = [face for face in strangers if face is not returned]
        for track in (self._person, *self._others):
            track.go_on(found.get(track))
        known = [track for track in self._others if track.missed <= FORGOTTEN_AFTER]
        self._others = known + [_Track(face) for face in strangers]
        return found.get(self._person)

    def _find_returned(self, strangers: Sequence[Face], picture: Picture) -> Face | None:
        assert self._person is not None
        least = LEAST_RETURN * _side(self._person.face)
        for face in _by_size(strangers):
            if _side(face) >= least and (self._known is None or self._known.is_shown(picture, face)):
                return face
        return None


class _Track:
    """Where somebody was seen last."""

    def __init__(self, face: Face) -> None:
        self.face, self.missed = face, 0

    def go_on(self, face: Face | None) -> None:
        """To the next frame, in which this is the face, or none is."""
        if face is None:
            self.missed += 1
        else:
            self.face, self.missed = face, 0

    def distance(self, face: Face) -> float:
        """How far the face is, in parts of what one may move; above 1 it is another's."""
        here, there = _side(self.face), _side(face)
        if not 1 / GROWTH <= there / here <= GROWTH:
            return np.inf
        away = np.linalg.norm(_centre(face) - _centre(self.face)) / here
        return float(away / (REACH + REACH_PER_MISSED * self.missed))


def _match(tracks: Sequence[_Track], faces: Sequence[Face]) -> dict[_Track, Face]:
    """To each track the face that is its continuation, the nearest pair first."""
    pairs = [
        (track.distance(face), row, column)
        for row, track in enumerate(tracks)
        for column, face in enumerate(faces)
    ]
    found: dict[int, int] = {}
    for distance, row, column in sorted(pairs):
        if distance <= 1 and row not in found and column not in found.values():
            found[row] = column
    return {tracks[row]: faces[column] for row, column in found.items()}


def track(detected: Iterable[tuple[Picture, list[Face]]], tracker: FaceTracker) -> Iterator[Sighting]:
    """The person in each frame, as `detect_each` gives them."""
    for picture, faces in detected:
        yield tracker.follow(picture, faces)


def bridge(sightings: Iterable[Sighting], longest: int = LONGEST_BRIDGE) -> Iterator[Sighting]:
    """The same, with the face where it is missed for at most `longest` frames: evenly on the way between.

    Nothing is bridged across a cut, or where the face comes back elsewhere than it could have moved to. At most
    `longest` frames wait in memory.
    """
    missed: list[Sighting] = []
    before: Face | None = None
    try:
        for sighting in sightings:
            if sighting.face is None:
                missed.append(sighting)
                if before is None or len(missed) > longest:
                    yield from missed
                    missed, before = [], None
                continue
            if missed and before is not None:
                yield from _fill(missed, before, sighting)
                missed = []
            before = sighting.face
            yield sighting
    except UnreadableMediaError:  # of the next frame; what came before it is good
        yield from missed
        raise
    yield from missed


def _fill(missed: Sequence[Sighting], before: Face, back: Sighting) -> Iterator[Sighting]:
    assert back.face is not None
    last_seen = _Track(before)
    last_seen.missed = len(missed)
    can_be = last_seen.distance(back.face) <= 1 and not any(sighting.is_cut for sighting in (*missed, back))
    for number, sighting in enumerate(missed, start=1):
        part = number / (len(missed) + 1)
        face = _between(before, back.face, part) if can_be else None
        yield dataclasses.replace(sighting, face=face, bridged=can_be)


def smooth(sightings: Iterable[Sighting], frames: int = SMOOTHED) -> Iterator[Sighting]:
    """The same, with boxes and points steadied by Savitzky and Golay's filter: a parabola through those about.

    It does not lag behind, and leaves even and evenly speeding motion as it is. Runs of frames in which the face
    is seen, between cuts, are smoothed each by itself. Half of `frames` wait in memory.
    """
    half = frames // 2
    past: deque[NDArray[np.float64]] = deque(maxlen=half)  # numbers of faces that have gone out
    waiting: deque[Sighting] = deque()

    def next_out() -> Sighting:
        sighting = waiting.popleft()
        assert sighting.face is not None
        numbers = _numbers(sighting.face)
        about = [*past, numbers, *(_numbers(later.face) for later in waiting if later.face is not None)]
        times = np.arange(len(about)) - len(past)
        steady = np.polynomial.polynomial.polyfit(times, np.stack(about), min(SMOOTHING_DEGREE, len(about) - 1))[0]
        past.append(numbers)
        return dataclasses.replace(sighting, face=_from_numbers(steady, sighting.face.score))

    for sighting in sightings:
        if sighting.face is None or sighting.is_cut:
            while waiting:
                yield next_out()
            past.clear()
        if sighting.face is None:
            yield sighting
        else:
            waiting.append(sighting)
            if len(waiting) > half:
                yield next_out()
    while waiting:
        yield next_out()


def _between(before: Face, after: Face, part: float) -> Face:
    """A face on the way from one to the other, of which it has gone this `part`."""
    numbers = (1 - part) * _numbers(before) + part * _numbers(after)
    return _from_numbers(numbers, min(before.score, after.score))


def _numbers(face: Face) -> NDArray[np.float64]:
    """Box and points, (14,)."""
    return np.concatenate([face.box, face.landmarks.ravel()])


def _from_numbers(numbers: NDArray[np.float64], score: float) -> Face:
    return Face(numbers[:4], numbers[4:].reshape(5, 2), score)


def _by_size(faces: Sequence[Face]) -> list[Face]:
    """The largest first."""
    return sorted(faces, key=lambda face: -face.area)


def _centre(face: Face) -> NDArray[np.float64]:
    return (face.box[:2] + face.box[2:]) / 2


def _side(face: Face) -> float:
    """The root of the box's area, and never nothing."""
    return max(face.area, 1.0) ** 0.5
