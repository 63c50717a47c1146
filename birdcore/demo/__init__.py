"""An embedded data set: species that sing by formula, written as a BirdCLEF+ folder."""
