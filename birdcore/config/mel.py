"""The recipe's table of front ends: which there are, and the numbers of each."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import Field, ValidationError, model_validator

from birdcore.audio.reading import Channels
from birdcore.config.section import Count, Positive, Seconds, Section, Share
from birdcore.config.validation_errors import WrongSetting, nearest
from birdcore.features.front_end import NAME_KEY, FrontEnd, from_settings, front_end_class
from birdcore.features.mel import PRESETS
from birdcore.features.stacked import Stacked

FrontEndName: TypeAlias = Literal["mel", "stft", "pcen", "cwt", "superlet", "wave"]
"""Their classes: `birdcore.features.FRONT_ENDS`."""

OF_ANY = {"features", "preset", "dtype"}
"""What does not describe one front end."""


class Mel(Section):
    """The front end: a preset, or its numbers, or a preset with other numbers."""

    renamed: ClassVar[dict[str, str]] = {"front_end": "features"}

    preset: str | None = None
    features: Annotated[tuple[FrontEndName, ...], Field(min_length=1)] = ("mel",)
    """What turns samples into frames. mel: a mel spectrogram (the winners'). stft: linear
    frequencies, where fine structure at high ones tells species apart. pcen: a mel over its own
    smoothed past, without what is steady (Wang et al. 2017); nothing is mixed in its power. cwt:
    Morlet wavelets, long at low frequencies and short at high ones. superlet: the geometric mean
    over short and long ones, sharp in time as the short and in pitch as the long. wave: raw
    samples, hop_length a frame, for the backbone conv_wave alone; what acts on frequencies does not
    go with it. Each has those of these settings that it knows, also of a preset. Several are the
    channels of one input: they need the same number of bins."""
    sample_rate: Count | None = None
    n_fft: Count | None = None
    hop_length: Count | None = None
    n_mels: Count | None = None
    """Bins of a frame. stft without it: every FFT bin from f_min to f_max."""
    scales: Count | None = None
    """Bins of cwt and superlet, evenly in octaves from f_min (50 Hz, if not said or 0) to f_max
    (14,000); n_mels, if not said."""
    cycles: Positive | None = None
    """Of a wavelet: one at f Hz has a standard deviation of f / cycles Hz, and of
    cycles / (2 pi f) s (Torrence and Compo 1998: omega 0). 20 of cwt, if not said: neighbours of
    128 scales are then one deviation apart. 8 of the shortest of a superlet, of order 4 then as
    sharp in pitch and 1.5 times as sharp in time; Moca et al. 2021 call 8 of these 6.4."""
    order: Annotated[float, Field(ge=1)] | None = None
    """Of superlet: wavelets of 1, 2, 3 ... times as many cycles are multiplied (Moca et al. 2021);
    1.5 gives the second half the exponent of the first (Barzan et al. 2021). 4 if not said."""
    f_min: Seconds | None = None
    f_max: Positive | None = None
    power: Literal[1, 2] | None = None
    mel_scale: Literal["htk", "slaney"] | None = None
    pcen_gain: Share | None = None
    """Share of the smoothed past that pcen takes away, .8 if not said: as Lostanlen et al. 2019
    have it for birds outdoors, the other three as well (speech: .98, 2, .5 and .4 s)."""
    pcen_bias: Annotated[float, Field(ge=0)] | None = None
    """What is added before pcen's root: the higher, the less weak sounds count. 10 if not said."""
    pcen_power: Annotated[float, Field(gt=0, le=1)] | None = None
    """The root that pcen takes, .25 if not said."""
    pcen_time_s: Positive | None = None
    """Time constant of pcen's smoothed past, .06 if not said; .4 for sounds that change slowly."""
    channels: Channels | None = None
    """What of several channels is read: their "mean" (or the loudest where they cancel), the
    "first", or the "loudest", that with the most power in a recording. "each": every channel trains
    and validates as a recording of its own, with the labels and the fold of its file; a row of a
    submission has the highest probability over the channels. Cleaning, `birdflow detect` and
    exported bundles then hear the loudest."""
    speed: Positive | Literal["auto"] | None = None
    """How many times slower than life recordings are (time expansion, 1 if not said): at 10, files
    of 44,100 Hz hold sound of 441 kHz, which is the rate for `sample_rate`. Seconds, of crops and
    windows too, are those of the files. "auto": what the files' GUANO chunks say (TE)."""
    dtype: Literal["uint8", "float16"] = "uint8"

    def spec(self, speed: float = 1.0) -> FrontEnd:
        """The front end; raises WrongSetting for an unknown preset or numbers that don't fit.

        Args:
            speed: That of the recordings, where the setting is "auto".
        """
        if self.preset is not None and self.preset not in PRESETS:
            raise WrongSetting(
                f"no such preset{nearest(self.preset, list(PRESETS)) or '.'} "
                f"There are {', '.join(PRESETS)}",
                "preset",
            )
        preset = PRESETS[self.preset].model_dump() if self.preset else {}
        own = self.model_dump(exclude=OF_ANY, exclude_none=True)
        if self.speed == "auto":
            own |= {"speed": speed, "speed_from": "file"}
        settings = {}
        for name in self.features:
            keys = _keys(name)
            of_preset, of_recipe = preset, own
            if "scales" in keys:
                of_preset, of_recipe = _with_scales(preset), _with_scales(own)
            both = of_preset | of_recipe
            settings[name] = {key: value for key, value in both.items() if key in keys}
        if unread := _unread(own, self.features):
            known = set().union(*map(_keys, self.features))
            raise WrongSetting(
                f"has no effect under features = {json.dumps(self.features)}, which reads "
                f"{', '.join(sorted(known))}",
                unread[0],
            )
        if len(settings) < len(self.features):
            raise WrongSetting("a front end is named twice", "features")
        try:
            parts = tuple(from_settings({NAME_KEY: name, **settings[name]}) for name in settings)
        except ValidationError as error:
            text = error.errors()[0]["msg"].removeprefix("Value error, ")
            # The first setting that the message names and that the recipe sets is to blame.
            named = [word for word in re.findall(r"\w+", text) if word in own]
            raise WrongSetting(text, *named[:1]) from None
        try:
            return parts[0] if len(parts) == 1 else Stacked(parts)
        except ValueError as error:
            raise WrongSetting(str(error), "features") from None

    @model_validator(mode="after")
    def _numbers_fit(self) -> "Mel":
        self.spec()
        return self


def inherited(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """What a table [mel] keeps of the table below it.

    Where the upper one names front ends, settings of others step aside below it, such as `n_fft`
    under wavelets. What the upper one says itself is kept, to be refused where it has no effect.

    Example:
        >>> inherited({"n_fft": 2048, "f_max": 9000.0}, {"features": ["cwt"]})
        {'f_max': 9000.0}
    """
    features, names = over.get("features"), get_args(FrontEndName)
    if not isinstance(features, list) or any(name not in names for name in features):
        return dict(under)  # they stay as they are, or are a mistake, told later
    of_all = Mel.model_fields.keys() & {**under, **over}.keys() - OF_ANY
    unread = _unread({key: {**under, **over}[key] for key in of_all}, features)
    return {key: value for key, value in under.items() if key in over or key not in unread}


def _keys(front_end: str) -> set[str]:
    return set(front_end_class(front_end)().model_dump())


def _unread(settings: Mapping[str, Any], features: Sequence[str]) -> list[str]:
    """Those of the settings that none of the front ends reads."""
    read = set[str]()
    for name in features:
        keys = _keys(name)
        read |= keys
        if "scales" in keys:
            read |= settings.keys() - _with_scales(settings).keys()
    return [key for key in settings if key not in read]


def _with_scales(mel: Mapping[str, Any]) -> dict[str, Any]:
    """These settings for wavelets: as many scales as bins, and from their own f_min for 0 Hz."""
    settings = {key: value for key, value in mel.items() if (key, value) != ("f_min", 0)}
    if "n_mels" in settings and "scales" not in settings:
        settings["scales"] = settings.pop("n_mels")
    return settings
