"""The configuration: one folder a group, one yaml an option. It travels in the wheel as ``experiments.conf``."""
