"""Prefect's log lines on the console, each without its traceback.

The message says what was wrong, and the UI keeps the rest. Prefect takes the class of its console
handler from PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS, and reads that once, when it is imported.
"""

import copy
import logging

from prefect.logging.handlers import PrefectConsoleHandler

from birdcore.text import plain_lines


class PlainConsole(PrefectConsoleHandler):
    """Prefect's own console handler, but for tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        plain = copy.copy(record)
        plain.exc_info = plain.exc_text = None
        return plain_lines(super().format(plain))
