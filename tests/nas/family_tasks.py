"""Every family whose yaml says all that it needs."""

from hydra.utils import instantiate
from omegaconf import OmegaConf

from automl.types import Family
from experiments import configuration

FOLDER = configuration.CONF / "family"


def load(name: str) -> Family:
    """The family of conf/family/NAME.yaml."""
    return instantiate(OmegaConf.load(FOLDER / f"{name}.yaml"), **OPTIONS.get(name, {}))


OPTIONS = {"pretrained": {"weights": "none", "sides": [32], "model": "squeezenet1_1"}}
"""Of families that take part only where known weights are at hand."""
ELSEWHERE = {"sentence", "earlier"}
"""Of these none can be made without them: test_known."""
NAMES = [p.stem for p in sorted(FOLDER.glob("*.yaml")) if not OmegaConf.missing_keys(OmegaConf.load(p))]
NAMES = [name for name in NAMES if name not in ELSEWHERE]
FAMILIES = {name: load(name) for name in NAMES}
