"""When and where recordings were made: by tables, recorders' metadata and names of files."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from birdcore.check.copies import uses_of
from birdcore.check.facts import Places
from birdcore.check.reading import Reading
from birdcore.detection.recorders import from_name, read_recorder
from birdcore.detection.table import RecorderInfo
from birdcore.sources.birdclef_windows import SITE_AND_DAY

WITH_METADATA = (".wav", ".wave")
"""Files in which recorders write what they know; of others the name alone is read."""


def places_of(reading: Reading, audio: Mapping[str, Path]) -> Places:
    """Times, sites and positions of the recordings that are read; of all, where none are.

    Args:
        reading: Its catalogue has positions of clips.
        audio: All recordings by name.
    """
    source, catalog = reading.source, reading.catalog
    used = audio.keys() if source is None else uses_of(source).keys()
    names = [name for name in audio if name in used]
    with ThreadPoolExecutor(8, "metadata") as pool:
        infos = dict(zip(names, pool.map(_info, (audio[name] for name in names)), strict=True))
    # What precedes a date in a clip's name is its species or recordist as often as a site.
    clips = set() if source is None else {file.path for file in source.subset("labelled").files}
    sites = [_site(name, infos[name]) for name in names if name not in clips]
    days = sorted(info.recorded_at[:10] for info in infos.values() if info.recorded_at)
    positions = [(each.latitude, each.longitude) for each in infos.values()]
    known = [(lat, lon) for lat, lon in positions if lat is not None and lon is not None]
    if catalog is not None:
        table = catalog.recordings[["latitude", "longitude"]].dropna()
        known += list(table.itertuples(index=False, name=None))
    latitudes, longitudes = zip(*known, strict=True) if known else ((), ())
    return Places(
        sites=tuple(sorted({*sites} - {""})),
        recorders=tuple(
            sorted({f"{i.recorder} {i.serial}".strip() for i in infos.values()} - {""})
        ),
        days=(days[0], days[-1]) if days else None,
        timed=len(days),
        box=(min(latitudes), max(latitudes), min(longitudes), max(longitudes)) if known else None,
        positioned=len(known),
    )


def _info(path: Path) -> RecorderInfo:
    if path.suffix.lower() not in WITH_METADATA:
        return from_name(path.name)
    try:
        return read_recorder(path)
    except OSError:
        return from_name(path.name)


def _site(name: str, info: RecorderInfo) -> str:
    if found := SITE_AND_DAY.search(PurePosixPath(name).stem):
        return found[1].partition("_")[0]
    return info.site
