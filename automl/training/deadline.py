"""How a training keeps its limit: the numbers behind it. ``nas/time.py`` says what the limit is.

All are by judgement. Where they are too cautious a training learns less than it could in its time, where they are too
bold it is cut with its rates still high, or before anything was judged.
"""

PACE_STEPS = 16
"""Steps from which the pace of a training is judged, and how often: fewer are noise."""
LATE = 1.25
"""It hurries when the steps left would take so many times the time left. What is validated has its best epoch to fall
back on, so a training that is a little late loses less by going on than by hurrying."""
DOWN = 0.9
"""Share of the schedule from which the rates count as brought down: the cosine stands at 2 % there."""
READ, LEAST, FITTED = 0.4, 0.6, 0.75
"""Of a network that begins (``Begins``): shares of its time after which no more rows are read, and between which the
fit should end: sooner where judging takes long."""
SPARE = 1.25
"""Of cross-validation: the training on all rows keeps this many times its share of the time, for as many epochs as the
folds had must fit in."""


def grace(seconds: float) -> float:
    """Seconds more, to judge what was learned in so many: a training that was cut just before its first validation is
    worth more judged than lost.
    """
    return max(1.0, 0.5 * seconds)
