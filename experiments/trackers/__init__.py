"""Where a run can be watched: each is a ``Listener`` that writes, and decides nothing."""
