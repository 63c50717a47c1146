"""What the HTML pages share: templates, style and script, and pictures of spectrograms.

The page of a run (`birdcore.report`) and the page of detections (`birdcore.detection`) lie in rooms
that do not import each other, and look and work alike.
"""
