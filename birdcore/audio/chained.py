"""Chained ogg files: link after link, as one recording at the rate of the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from itertools import groupby

from birdcore.audio import libav, ogg
from birdcore.audio.ogg import Link
from birdcore.audio.stream import Frames, Stream, Unreadable


@contextmanager
def opened(file: FileIO) -> Iterator[Stream]:
    """The recording in an ogg file, of one link or of many.

    A link that can't be decoded is left out, and said. Raises Unreadable where the first one
    can't be, or where there is none.
    """
    links, _ = ogg.links(file)
    if not links:
        raise Unreadable("not a readable sound file: no ogg page in it is whole")
    with libav.opened(ogg.Part(file, links[0])) as first:
        stream = Stream(first.rate, first.channels, iter(()))
        stream.blocks = _blocks(stream, first, file, links[1:])
        yield stream


def _blocks(stream: Stream, first: Stream, file: FileIO, rest: list[Link]) -> Iterator[Frames]:
    done = 0
    for block in first.blocks:
        done += len(block)
        yield block
    _pass_on(stream, first, 0)
    for number, link in enumerate(rest, 2):
        try:
            with libav.opened(ogg.Part(file, link)) as part:
                before = done
                for block in _at_rate(part, stream.rate):
                    done += len(block)
                    yield block
                _pass_on(stream, part, before)
        except Unreadable:
            if not stream.failure:
                stream.failed_at, stream.failure = done, f"link {number} of the ogg can't be read"


def _at_rate(part: Stream, rate: int) -> Iterator[Frames]:
    for _, blocks in groupby(part.blocks, lambda block: block.shape[1]):
        yield from libav.at_rate(blocks, part.rate, rate)


def _pass_on(stream: Stream, part: Stream, before: int) -> None:
    if part.failure and not stream.failure:
        stream.failed_at, stream.failure = before + part.failed_at, part.failure
    stream.unfinished = part.unfinished
