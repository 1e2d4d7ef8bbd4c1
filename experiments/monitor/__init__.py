"""Have the rows of a file moved away from those that a model learned from? ``level4 +experiment=monitor``."""
