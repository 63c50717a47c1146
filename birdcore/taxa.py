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


# fmt: off
GENERA = {
    INSECTA: (
        "Acheta", "Chorthippus", "Cicada", "Cicadetta", "Conocephalus", "Decticus", "Gryllotalpa",
        "Gryllus", "Leptophyes", "Magicicada", "Metrioptera", "Nemobius", "Oecanthus", "Omocestus",
        "Phaneroptera", "Pholidoptera", "Pseudochorthippus", "Roeseliana", "Ruspolia",
        "Stenobothrus", "Teleogryllus", "Tettigonia",
    ),
    AMPHIBIA: (
        "Alytes", "Boana", "Bombina", "Dendropsophus", "Eleutherodactylus", "Leptodactylus",
        "Lithobates", "Litoria", "Pelophylax", "Physalaemus", "Pseudacris", "Rhinella", "Scinax",
    ),
    CHIROPTERA: (
        "Barbastella", "Eptesicus", "Lasionycteris", "Lasiurus", "Miniopterus", "Myotis",
        "Nyctalus", "Pipistrellus", "Plecotus", "Rhinolophus", "Tadarida", "Vespertilio",
    ),
}
# fmt: on
"""Genera that are often recorded; no name of a bird begins like one of them."""


def group_of_class(name: str) -> str:
    """The group that a class's own name tells, by genus or as a group's name; "" where it does not.

    English names of species don't: Grasshopper Sparrow, Bat Hawk.

    Example:
        >>> group_of_class("Grylluscampestris"), group_of_class("bats"), group_of_class("wren")
        ('Insecta', 'Chiroptera', '')
    """
    begins = name.strip().lower()
    of_genus = {genus.lower(): group for group, genera in GENERA.items() for genus in genera}
    found = next((group for genus, group in of_genus.items() if begins.startswith(genus)), "")
    return found or (group_of(name) if group_of(name) in WORDS else "")
