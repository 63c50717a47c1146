"""A look at a folder of recordings before anything is trained on it: `birdflow check`.

It says in seconds what the folder is, what is in it, what a run would pass over, and which recipe
to begin with. Files are listed and their headers read; nothing is decoded, unless sound is
compared.
"""
