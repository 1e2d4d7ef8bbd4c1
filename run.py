"""The door: ``python run.py --help``."""

import hydra
from omegaconf import DictConfig

from experiments.cli import one_line_errors


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    hydra.utils.call(cfg.run, cfg)


if __name__ == "__main__":
    with one_line_errors():
        main()
