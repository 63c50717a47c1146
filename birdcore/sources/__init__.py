"""Sources: which recordings, labels and folds there are, whatever the layout of their folder.

Example:
    >>> from birdcore.sources.birdclef import scan  # doctest: +SKIP
    >>> source = scan(Path("birdclef-2026"), Store(Path("store")))  # doctest: +SKIP
    >>> source.subset("test").files[0].path  # doctest: +SKIP
    'test_soundscapes/H02_20230420_074000.ogg'
"""

from birdcore.sources.source import SOURCES, Layout, Source, SourceFile, Subset, extra_sources

__all__ = ["SOURCES", "Layout", "Source", "SourceFile", "Subset", "extra_sources"]
