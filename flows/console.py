"""Prefect's console log without tracebacks: messages are enough, and the UI keeps the rest.

A module of its own, because it imports Prefect, which reads the name of this class from
PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS once, when it is imported (flows/terminal.py sets it).
"""

import copy
import logging

from prefect.logging.handlers import PrefectConsoleHandler

from birdcore.text import plain_lines


class PlainConsole(PrefectConsoleHandler):
    """Prefect's console handler without tracebacks and control characters."""

    def format(self, record: logging.LogRecord) -> str:
        plain = copy.copy(record)
        plain.exc_info = plain.exc_text = None
        return plain_lines(super().format(plain))
