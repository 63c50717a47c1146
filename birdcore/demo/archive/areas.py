"""The countries of the archive's areas, as far as recordings for tests come from them."""

AREAS: dict[str, frozenset[str]] = {
    "africa": frozenset({"ghana", "kenya", "morocco", "south africa", "uganda"}),
    "america": frozenset(
        {"argentina", "brazil", "canada", "colombia", "costa rica", "ecuador", "mexico", "peru"}
        | {"united states"}
    ),
    "asia": frozenset({"china", "india", "indonesia", "japan", "malaysia", "thailand"}),
    "australia": frozenset({"australia", "new zealand", "papua new guinea"}),
    "europe": frozenset(
        {"austria", "belgium", "denmark", "finland", "france", "germany", "greece", "italy"}
        | {"netherlands", "norway", "poland", "portugal", "spain", "sweden", "switzerland"}
        | {"united kingdom"}
    ),
}
