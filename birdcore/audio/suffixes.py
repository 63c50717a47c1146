"""Which file names are recordings, by their suffix: what a folder is searched for.

Only a first sieve, and without a decoder to import: what a file really holds is read from its bytes
(`birdcore.audio.container`), and a file of another format under one of these names still decodes.
"""

# fmt: off
AUDIO_SUFFIXES = frozenset({
    ".ogg", ".oga", ".opus", ".spx", ".flac", ".wav", ".wave", ".rf64", ".w64", ".aif", ".aiff",
    ".aifc", ".au", ".snd", ".caf", ".mp3", ".mp2", ".aac", ".ac3", ".m4a", ".m4b", ".mp4", ".mov",
    ".3gp", ".amr", ".wma", ".webm", ".mka", ".mkv", ".wv", ".ape", ".tta", ".mpc", ".dsf", ".avi",
})
# fmt: on
"""Suffixes, in lower case, of formats that libsndfile or FFmpeg can read."""
