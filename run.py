"""The door: ``python run.py --help``. Installed, the same is the command ``level4``."""

from experiments.cli import main

if __name__ == "__main__":
    main()
