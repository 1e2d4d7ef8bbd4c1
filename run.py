"""The door: ``python run.py --help``."""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from experiments.cli import flags_first, importable_by_others, one_line_errors
from experiments.settings import hide_passwords, keep_config, refuse_unread, settings


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    with one_line_errors(resumable=cfg.reads is None):
        of = HydraConfig.get()
        if of.mode == RunMode.MULTIRUN:
            hide_passwords(Path(of.sweep.dir) / "multirun.yaml")
        refuse_unread(cfg, of.overrides.task)
        settings(cfg)  # a wrong value is told before the heavy imports
        keep_config(cfg, Path(of.runtime.output_dir))
        hydra.utils.call(cfg.run, cfg)


if __name__ == "__main__":
    sys.argv[1:] = flags_first(sys.argv[1:])
    importable_by_others()
    with one_line_errors():
        main()
