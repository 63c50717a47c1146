"""A folder served on loopback with Xeno-canto's API v3, so that the demo can collect from it.

A folder holds `recordings.json` (a list of records as the API gives them) and
`audio/XC<id>.<suffix>`. Tests make such an archive fail (`tests/support/archive.py`).

    with serve(folder, key="a key") as archive:
        archive.url      # "http://127.0.0.1:<port>", to use as the site "https://xeno-canto.org"
        archive.log      # [("GET", "/api/3/recordings?query=gen%3ATurdus&page=1", 200), …]

    GET /api/3/recordings?query=&key=&per_page=&page=     401 without the key, 400 without tags
    GET /<id>/download                                    the whole file

`recordings.json` is read again when it changes, so an archive can gain recordings while it runs
(write the audio first, then `recordings.json`).
"""

from birdcore.demo.archive.server import KEY, Served, serve, serve_archive

__all__ = ["KEY", "Served", "serve", "serve_archive"]
