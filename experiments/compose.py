"""The configuration, composed without Hydra's global state: the caller may be a Hydra program itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from automl.errors import UserError
from experiments.configuration import SEARCH_PATH
from experiments.explain import explain

_ONE_AT_A_TIME = threading.Lock()  # Hydra's version base is a global


def composed(overrides: Sequence[str]) -> DictConfig:
    """conf/config.yaml with overrides as on the command line. Raises UserError for those that do not fit."""
    with _ONE_AT_A_TIME:
        of = version.VersionBase.instance()
        before = of.getbase()
        version.setbase("1.3")
        try:
            loader = ConfigLoaderImpl(create_config_search_path(SEARCH_PATH))
            cfg = loader.load_configuration("config", list(overrides), RunMode.RUN, from_shell=False)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(str(explain(error) or error).removeprefix("Error: ")) from error
        finally:
            of.version_base = before
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg
