"""What others wrote, shown as text: on a terminal and in Markdown (tables: see spreadsheet.py).

Names of files, recordists, licences, addresses and an archive's messages are other people's. As
they are, they could move a cursor or hide a word, or add a line, a link or an image.
"""

import re

MARKDOWN = re.compile(r"([\\`*\[\]<>|~&$]|(?<!\w)_|_(?!\w))")
"""What begins or ends something within a line of Markdown; an underscore within a word does not."""


def plain_text(text: str) -> str:
    """One line of what can be printed: no control or format characters, no half characters."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return " ".join("".join(c for c in line if c.isprintable()).split())


def plain_lines(text: str) -> str:
    """Text with its own line breaks, each line as `plain_text` has it but for its spaces."""
    lines = text.replace("\t", "    ").split("\n")
    return "\n".join("".join(c for c in line if c.isprintable()) for line in lines)


def markdown(value: object) -> str:
    """A value within a line or a cell of Markdown, where it is nothing but its own text."""
    return MARKDOWN.sub(r"\\\1", plain_text(str(value)))
