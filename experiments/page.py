"""A page in a bundle that answers in a browser: ``level4 +experiment=page bundle=FOLDER ort=FOLDER``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from automl.deploy.bundle import MODEL, Bundle
from automl.deploy.fold import RAW, fold
from automl.deploy.page import PAGE, write_page
from automl.errors import UserError


def run(cfg: DictConfig) -> None:
    """Raises UserError where the bundle's encoding cannot be folded, and so has no page."""
    folder, assets = (Path(str(cfg[name])).expanduser() for name in ("bundle", "ort"))
    bundle = Bundle.load(folder, variant=MODEL)  # whose graph is folded, and whose decision
    why_not = "" if (folder / RAW).is_file() else fold(folder, bundle.encoding, bundle.task, bundle.decision)
    why_not = why_not or write_page(folder, assets)
    if why_not:
        raise UserError(f"bundle={folder} can have no page: {why_not}; serve it instead")
    print(f"{folder / PAGE} opens in a browser; send it together with the .js file beside it")
