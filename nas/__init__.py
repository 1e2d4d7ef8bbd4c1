"""MANY TRIALS: which candidate next. Families, strategies, engines; the only floor that imports nni."""
