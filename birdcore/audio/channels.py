"""What the channels of a recording are called where each is a recording of its own.

Several microphones hear several places: the loudest hides what another one hears, and their mean
what is heard by one alone. So `channels = "each"` keeps the features of every channel, under the
name of the recording and a fragment, `a.wav#channel=2`. All that is known of a recording (labels,
folds, sites, licences, rows) goes by the name of its file, which `file_of` gives back.
"""

import re

FRAGMENT = "#channel="
NAMED = re.compile(rf"(.+){FRAGMENT}(\d+)$", re.DOTALL)


def channel_name(recording: str, channel: int) -> str:
    """The name of a channel, counted from 0 and named from 1 on, as people count them.

    Example:
        >>> channel_name("a.wav", 1)
        'a.wav#channel=2'
    """
    return f"{recording}{FRAGMENT}{channel + 1}"


def file_and_channel(name: str) -> tuple[str, int | None]:
    """The recording that a name is of, and which of its channels; None for all of it.

    Example:
        >>> file_and_channel("a.wav#channel=2"), file_and_channel("a#1.wav")
        (('a.wav', 1), ('a#1.wav', None))
    """
    found = NAMED.match(name)
    return (found[1], int(found[2]) - 1) if found else (name, None)


def file_of(name: str) -> str:
    """The recording that a name is of."""
    return file_and_channel(name)[0]
