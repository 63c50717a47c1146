"""Sound files to samples, and what is measured of them: decoding, resampling, quality, speech,
cleaning, fingerprints. Each module is imported by itself, since some load torch or FFmpeg.

Example:
    >>> from birdcore.audio.decode import decode  # doctest: +SKIP
    >>> from birdcore.audio.resample import resample  # doctest: +SKIP
    >>> audio = decode("XC551413.ogg")  # doctest: +SKIP
    >>> samples = resample(audio.samples, audio.rate, 32_000)  # doctest: +SKIP
"""

__all__ = [
    "blocks",
    "cleaned",
    "cleaning",
    "container",
    "decode",
    "fingerprints",
    "quality",
    "resample",
    "rules",
    "speech",
    "trim",
]
