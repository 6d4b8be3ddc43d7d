"""Pictures of 256 colours for GIF, each with the palette that suits it best."""

from fractions import Fraction
from typing import Any

import av

_TICK = Fraction(1, 100)


class Palettes:
    """FFmpeg's choice of colours, anew for each frame, so that none has to wait for the clip's end.

    Args:
        width, height: of the frames.
    """

    def __init__(self, width: int, height: int) -> None:
        graph = av.filter.Graph()
        source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=_TICK)
        split = graph.add("split")
        choose = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        use = graph.add("paletteuse", "new=1:dither=sierra2_4a")
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(choose, 1, 0)
        choose.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        self._graph, self._count = graph, 0

    def apply(self, frame: Any) -> Any:
        """The frame, an `av.VideoFrame` in RGB, in colours of its own palette."""
        frame.pts, frame.time_base = self._count, _TICK
        self._count += 1
        self._graph.push(frame)
        return self._graph.pull()
