"""What is said when an archive does not answer as it should: in our own words, without its key.

The key travels in the address, which the HTTP library's exceptions and log lines repeat. So none
of them is passed on or chained to these:

    OSError
    └─ ConnectionError
       └─ ArchiveError    in passing: it may go well at another time
    ValueError
    ├─ Refused            stays so until the query, the key or the recording is another
    └─ Unusable           a recording that can't be had or used
"""

import logging
import re
from urllib.parse import quote, quote_plus, urlsplit

import requests

from birdcore.archives.folder import Failed
from birdcore.text import plain_text

KEY_NAME = "XENO_CANTO_KEY"
URLLIB3_LOGS = ("connection", "connectionpool", "poolmanager", "response", "util.retry")


class ArchiveError(ConnectionError):
    """The archive can't be had just now; it was asked often enough."""


class Refused(ValueError):
    """The archive won't give this, now or later; `status` is that of its answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Unusable(ValueError):
    """A recording that can't be had or used; `failed` is the note of it in the collection."""

    def __init__(self, failed: Failed, name: str) -> None:
        super().__init__(failed, name)
        self.failed, self.name = failed, name

    def __str__(self) -> str:
        return f"{self.name}: {self.failed.reason}"


def status_error(status: int, url: str, query: str, said: str) -> ArchiveError | Refused:
    """What to raise for a status that is not worth another try; `said` is the archive's reason."""
    parts = urlsplit(url)
    place = f"{parts.netloc}{parts.path}"
    if status == 400 and query:
        text = f"{parts.netloc} refuses the query {query!r}"
    elif status == 401 and parts.path.startswith("/api/"):
        text = f"{parts.netloc} does not take the key: set {KEY_NAME} to that of your account there"
    elif status == 404:
        text = f"{place} is not there"
    else:
        text = f"{place} is refused with status {status}"
    text = f"{text}: {said}" if said else text
    return Refused(text, status) if status < 500 else ArchiveError(text)


def error_text(answer: object, key: str) -> str:
    """The message of an error in either of its forms, without the key; "" for any other answer.

    They are `{"error": …, "message": …}` and `{"error": {"code": …, "message": …}}`.
    """
    if not isinstance(answer, dict) or "error" not in answer:
        return ""
    error = answer["error"]
    inner = error if isinstance(error, dict) else answer
    said = inner.get("message") or inner.get("code") or error
    text = plain_text(said) if isinstance(said, str) else ""
    for form in filter(None, (key, quote(key), quote_plus(key))):
        text = text.replace(form, "…")
    return text[:300]


def reason(error: BaseException) -> str:
    """A failure of the connection, in words without an address."""
    within: BaseException | None = error
    while within is not None:  # a proxy's failure is wrapped several times
        if (
            isinstance(within, TimeoutError | requests.Timeout)
            or "Timeout" in type(within).__name__
        ):
            return "no answer in time"
        if isinstance(within, OSError) and within.errno is not None and within.strerror:
            return f"no connection: {within.strerror}"
        within = within.__cause__ or within.__context__
    return "the connection was cut"


def redact_keys_in_logs() -> None:
    """urllib3's lines, which hold the address of each request, from now on hold no `key=`."""
    for name in URLLIB3_LOGS:
        logging.getLogger(f"urllib3.{name}").addFilter(_without_key)


def _without_key(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    if "key=" in text:
        record.msg, record.args = re.sub(r"([?&]key=)[^&\s\"')]*", r"\1…", text), ()
    return True
