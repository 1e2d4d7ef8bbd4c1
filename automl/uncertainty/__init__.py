"""How sure a model is: fitted once on rows that it did not learn from (``calibrate``), told per row (``sets``)."""
