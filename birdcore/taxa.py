"""Groups of animals by the names that tables give them: taxonomic classes, and everyday words.

A taxonomy says `Insecta`, a person's own table `crickets`. Front ends are suggested and speech is
searched for by group, so both must be known as the same.
"""

AVES, INSECTA, AMPHIBIA, CHIROPTERA = "Aves", "Insecta", "Amphibia", "Chiroptera"
WORDS = {
    AVES: ("bird",),
    INSECTA: ("insect", "orthoptera", "cicadidae", "cricket", "bush cricket", "grasshopper",
              "katydid", "cicada"),
    AMPHIBIA: ("amphibian", "anura", "frog", "toad"),
    CHIROPTERA: ("bat",),
}  # fmt: skip
"""What else a group is called, in lower case and the singular."""
NAMES = {word: group for group, words in WORDS.items() for word in (group.lower(), *words)}


def group_of(name: str) -> str:
    """The group that a table's entry means; the entry itself where that is not known.

    Example:
        >>> group_of("Bush crickets"), group_of("insecta"), group_of("Mammalia")
        ('Insecta', 'Insecta', 'Mammalia')
    """
    word = name.strip().lower()
    return NAMES.get(word) or NAMES.get(word.removesuffix("s")) or name.strip()
