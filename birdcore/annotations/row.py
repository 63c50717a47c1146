"""What a reader makes of a line of a table, before recordings are looked up."""

from dataclasses import dataclass

from birdcore.annotations.annotation import Kind


@dataclass(frozen=True)
class Row:
    """A label as its table has it.

    Attributes:
        line: Where it stands.
        start_s: Where it begins in its recording, in seconds; as written, so it may be wrong.
        end_s: Where it ends.
        label: In NFC; "" where the table says none.
        low_hz: Lower edge of its band, or None.
        high_hz: Upper edge, or None.
        kind: Whether it is heard.
        recording: The recording as the line names it: a path of any machine, or a name with or
            without suffix; "" where the table as a whole belongs to one recording.
    """

    line: int
    start_s: float
    end_s: float
    label: str = ""
    low_hz: float | None = None
    high_hz: float | None = None
    kind: Kind = "present"
    recording: str = ""

    @property
    def says_nothing(self) -> bool:
        """Whether it says only that its recording was looked through."""
        return self.start_s == self.end_s == 0 and not self.label
