"""Every family that has a yaml."""

from hydra.utils import instantiate
from omegaconf import OmegaConf

from automl.types import Family
from experiments import configuration

FOLDER = configuration.CONF / "family"


def load(name: str) -> Family:
    """The family of conf/family/NAME.yaml."""
    return instantiate(OmegaConf.load(FOLDER / f"{name}.yaml"))


FAMILIES = {path.stem: load(path.stem) for path in sorted(FOLDER.glob("*.yaml"))}
