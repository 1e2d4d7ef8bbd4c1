"""Before anything is imported: one thread per test process, a home of its own for what NNI and W&B write, and no store
but one in the folder where a test works.
"""

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["LEVEL4_STORE"] = "sqlite:///outputs/store.db"
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["HOME"] = tempfile.mkdtemp(prefix="level4-home-")
