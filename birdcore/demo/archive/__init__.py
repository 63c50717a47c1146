"""An archive on loopback: what a client of Xeno-canto's API v3 meets, without Xeno-canto.

It serves tests and the demo and is no product feature. A folder holds `recordings.json` (a list of
records as the API gives them) and `audio/XC<id>.<suffix>`:

    with serve(folder, key="a key", faults=Faults(script=[Fault("429")])) as archive:
        archive.url      # "http://127.0.0.1:<port>", to use as the site "https://xeno-canto.org"
        archive.log      # [("GET", "/api/3/recordings?query=gen%3ATurdus&page=1", 429), …]
        archive.leaked   # requests outside the API that carried the key: there should be none

    GET /api/3/recordings?query=&key=&per_page=&page=     401 without the key, 400 without tags
    GET /<id>/download                                    Range, If-Range, ETag, 206, 416

`recordings.json` is read again when it changes, so an archive can gain recordings while it runs
(write the audio first, then `recordings.json`).

`Faults` are ordered by script (`Fault("cut", "*/download")`, each consumed by the first request
that it fits; None: one request goes well) and by rate (`Faults(rate=0.2, rng=…)`); `faults.given`
lists what was done, `KINDS` what can be. `generated(count, seed)` invents records for load tests.
"""

from birdcore.demo.archive.command import serve_archive
from birdcore.demo.archive.faults import KINDS, Fault, Faults, Kind
from birdcore.demo.archive.invented import generated
from birdcore.demo.archive.server import KEY, Served, serve

__all__ = [
    "KEY",
    "KINDS",
    "Fault",
    "Faults",
    "Kind",
    "Served",
    "generated",
    "serve",
    "serve_archive",
]
