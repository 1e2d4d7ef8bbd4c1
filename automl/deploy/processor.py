"""What the processor can do that a file of a bundle may need. Nothing is imported: this is a part of what serves."""

from __future__ import annotations

from pathlib import Path

VNNI = "vnni"
"""Sums of products of 8 bits that cannot overflow; without it a graph must keep its weights to 7 bits."""
CPUINFO = Path("/proc/cpuinfo")


def features(path: Path = CPUINFO) -> frozenset[str]:
    """Which of the features that files may need there are; none where the system does not tell."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return frozenset()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return frozenset({VNNI}) if {"avx512_vnni", "avx_vnni"} & set(flags) else frozenset()
