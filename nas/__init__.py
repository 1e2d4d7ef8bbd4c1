"""MANY TRIALS: which candidate next. Families, strategies, engines; the only floor that imports nni."""

from nas import nni_fixes as nni_fixes  # before anything else imports nni
