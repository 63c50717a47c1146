"""Metadata of many recordings: searched for, parsed, selected and written, from a loopback archive.

OMP_NUM_THREADS=1 python -m benchmarks.collect [--records 10000]
"""

import argparse
import json
import multiprocessing
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.peak import peak_mb
from birdcore.archives.client import open_archive
from birdcore.archives.search import fresh_search, queries_of
from birdcore.archives.selection import Competition
from birdcore.archives.selection_state import SEARCHES, update_selection
from birdcore.config import XenoCanto
from tests.support.archive import KEY, serve
from tests.support.records import generated


def archive(folder: Path, records: int, site: Connection) -> None:
    """In a process of its own, so that its memory does not count."""
    (folder / "audio").mkdir()
    (folder / "recordings.json").write_text(json.dumps(generated(records, 0)))
    with serve(folder) as served:
        site.send(served.url)
        threading.Event().wait()


def main() -> None:
    """Print the seconds of each part and the process's largest memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=10_000)
    options = parser.parse_args()
    print(f"peak memory before {peak_mb():.0f} MB, of which most is imports")
    with TemporaryDirectory() as root:
        (Path(root) / "archive").mkdir()
        ours, theirs = multiprocessing.Pipe()
        serving = multiprocessing.get_context("spawn").Process(
            target=archive, args=(Path(root) / "archive", options.records, theirs), daemon=True
        )
        serving.start()
        wanted = XenoCanto(
            site=ours.recv(), queries=('len:">0"',), unrated=True, per_species=20, search_age_h=1e6
        )
        folder = Path(root) / "collection"
        for name in ("asked", "searched again, from its file"):
            start = perf_counter()
            with open_archive(wanted.site, KEY, lambda: None) as site:
                for query in queries_of(wanted):
                    found = fresh_search(site, query, folder / SEARCHES, 1e9)
            print(f"{name}: {len(found)} records in {perf_counter() - start:.2f} s")
        del found
        start = perf_counter()
        selected = update_selection(folder, wanted, Competition())
        print(
            f"selected and written: {len(selected.chosen)} chosen, {len(selected.left_out)} left "
            f"out in {perf_counter() - start:.2f} s"
        )
        print(f"peak memory {peak_mb():.0f} MB")
        serving.terminate()


if __name__ == "__main__":
    main()
