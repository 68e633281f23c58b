"""What a container leaves of a machine, read from files as the kernel writes them."""

from pathlib import Path

import psutil
import pytest

from apps.machine import host


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(host, "CGROUP", tmp_path)
    return tmp_path


def test_without_a_container_the_machine_is_what_there_is(container: Path) -> None:
    assert host.cores() >= 1
    free, total = host.memory_bytes()
    assert 0 < free <= total == psutil.virtual_memory().total


@pytest.mark.parametrize(("quota", "cores"), [("100000 100000", 1), ("50000 100000", 1)])
def test_a_quota_of_processor_time_is_rounded_up_to_cores(
    container: Path, quota: str, cores: int
) -> None:
    (container / "cpu.max").write_text(f"{quota}\n")
    assert host.cores() == cores
    (container / "cpu.max").write_text("max 100000\n")
    assert host.cores() >= cores


def test_files_that_the_kernel_gives_up_count_as_free(container: Path) -> None:
    (container / "memory.max").write_text("1000000\n")
    (container / "memory.current").write_text("900000\n")
    (container / "memory.stat").write_text("anon 600000\ninactive_file 250000\n")
    assert host.memory_bytes() == (350_000, 1_000_000)
    (container / "memory.current").write_text("2000000\n")
    assert host.memory_bytes() == (0, 1_000_000)


def test_a_process_that_is_gone_takes_nothing() -> None:
    assert host.resident_bytes(2**22 + 1) == 0
