"""A container is a smaller machine than its host."""

import os

import pytest

from automl.machine import cores

ALL = len(os.sched_getaffinity(0))


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """Cores under limits of processor time: (folder under the mounted groups, file, text) of each."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda of: set(range(16)))

    def under(line: str, *limits: tuple[str, str, str]) -> int:
        own, mounted = tmp_path / "cgroup", tmp_path / "mounted"
        own.write_text(f"8:pids:/\n{line}\n")
        for folder, name, text in limits:
            (mounted / folder).mkdir(parents=True, exist_ok=True)
            (mounted / folder / name).write_text(f"{text}\n")
        return cores(mounted, own)

    return under


def test_this_machine_has_some_and_no_more_than_the_process_may_run_on():
    assert 1 <= cores() <= ALL


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", 16), ("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 16)],
)
def test_a_container_s_limit_of_processor_time_counts_in_whole_cores(limited, text, expected):
    assert limited("0::/", ("", "cpu.max", text)) == expected


def test_the_limits_of_groups_above_hold_too(limited):
    limits = [("job", "cpu.max", "300000 100000"), ("job/step", "cpu.max", "max 100000")]
    assert limited("0::/job/step", *limits) == 3


@pytest.mark.parametrize("kinds", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "expected"), [("-1", 16), ("200000", 2)])
def test_version_1_says_it_in_two_files(limited, kinds, quota, expected):
    line, group = f"4:{kinds}:/docker/a", "cpu/docker/a"
    assert limited(line, (group, "cpu.cfs_quota_us", quota), (group, "cpu.cfs_period_us", "100000")) == expected


def test_without_linux_it_is_what_the_machine_has(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores(tmp_path, tmp_path / "none") == os.cpu_count()
