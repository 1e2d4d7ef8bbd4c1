"""Before any test module imports nni on its own."""

import nas.nni_fixes  # noqa: F401
