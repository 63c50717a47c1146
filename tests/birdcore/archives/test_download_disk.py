"""Downloads to a disk that is full, or fills up."""

import errno
from typing import Any

import pytest

from birdcore.archives.download import fetch, fetch_all
from birdcore.archives.folder import failures
from birdcore.archives.partial import Partial


def test_no_request_is_made_where_there_is_no_room(site: Any) -> None:
    records = [site.record(1), site.record(2)]
    with pytest.raises(OSError, match="make room and run again") as error:
        fetch_all(site.client, records, site.folder, keep_free_bytes=1 << 60)
    assert error.value.errno == errno.ENOSPC
    assert site.statuses == []
    assert failures(site.folder) == {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_stops_all_and_keeps_the_part(
    site: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    append = Partial.append

    def full(partial: Partial, piece: bytes) -> None:
        append(partial, piece[:999])
        raise OSError(number, "no")

    monkeypatch.setattr(Partial, "append", full)
    with pytest.raises(OSError, match="make room") as error:
        fetch_all(site.client, [site.record(1), site.record(2)], site.folder)
    assert error.value.errno == errno.ENOSPC
    monkeypatch.setattr(Partial, "append", append)
    fetch(site.client, site.record(1), site.folder)
    assert site.statuses == [200, 206]
