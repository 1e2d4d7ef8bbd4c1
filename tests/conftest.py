"""Before anything is imported: one thread per test process, and a home of its own for what NNI and W&B write."""

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["HOME"] = tempfile.mkdtemp(prefix="level4-home-")
