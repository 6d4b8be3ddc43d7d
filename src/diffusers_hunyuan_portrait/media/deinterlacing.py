"""Whole pictures of interlaced ones, whose odd and even lines are of two moments."""

from collections.abc import Iterable, Iterator
from typing import Any

import av

# One picture for each; only those are touched that the clip says are interlaced, in the lines' order it says.
_FILTER = "bwdif", "mode=send_frame:parity=auto:deint=interlaced"


def progressive(frames: Iterable[Any]) -> Iterator[Any]:
    """PyAV's frames, with every second line of the interlaced ones made from the frames and lines about it."""
    graph: av.filter.Graph | None = None
    taken_by_graph: tuple = ()
    for frame in frames:
        kind = frame.width, frame.height, frame.format.name, frame.time_base
        if graph is not None and kind != taken_by_graph:
            yield from _push(graph, None)
            graph = None
        if graph is None and frame.interlaced_frame:
            graph, taken_by_graph = _make_graph(frame), kind
        if graph is None:
            yield frame
        else:
            yield from _push(graph, frame)
    if graph is not None:
        yield from _push(graph, None)


def _make_graph(frame: Any) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(source, graph.add(*_FILTER), graph.add("buffersink")).configure()
    return graph


def _push(graph: av.filter.Graph, frame: Any) -> Iterator[Any]:
    """What comes out as this frame, or the end, goes in; the filter gives a frame once it has seen the next."""
    graph.push(frame)
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
