"""The stages: each file says what one piece of work is (`step`) and does it (`run`)."""
