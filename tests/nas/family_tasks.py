"""Every family whose yaml says all that it needs."""

from hydra.utils import instantiate
from omegaconf import OmegaConf

from automl.types import Family
from experiments import configuration

FOLDER = configuration.CONF / "family"


def load(name: str) -> Family:
    """The family of conf/family/NAME.yaml."""
    return instantiate(OmegaConf.load(FOLDER / f"{name}.yaml"))


NAMES = [p.stem for p in sorted(FOLDER.glob("*.yaml")) if not OmegaConf.missing_keys(OmegaConf.load(p))]
FAMILIES = {name: load(name) for name in NAMES}
