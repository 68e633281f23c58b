"""What a driver says of its GPUs, told by one that stands in for it: there is none here."""

from types import SimpleNamespace

import pynvml
import pytest

from apps.machine import gpu

GPUS = {
    "GPU-5f7c1d2a": SimpleNamespace(free=60 << 30, total=80 << 30),
    "GPU-0a1b2c3d": SimpleNamespace(free=1 << 30, total=24 << 30),
}
PROCESSES = [
    SimpleNamespace(pid=7, usedGpuMemory=2 << 30),
    SimpleNamespace(pid=8, usedGpuMemory=None),
]


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two GPUs; the calls of its life."""
    calls: list[str] = []

    def found(known: bool, name: str) -> str:
        if not known:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return name

    def by_index(index: int) -> str:
        return found(index < len(GPUS), [*GPUS, ""][min(index, len(GPUS))])

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: calls.append("init"))
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: calls.append("shutdown"))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", by_index)
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetHandleByUUID", lambda name: found(name in GPUS, name)
    )
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", GPUS.__getitem__)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda _: PROCESSES)
    monkeypatch.setattr(gpu.metadata, "version", lambda _: "2.13.0+cu130")
    return calls


@pytest.mark.parametrize(
    ("visible", "total_gb"),
    [
        (None, 80),
        ("0", 80),
        ("1", 24),
        ("1,0", 24),
        (" 1 , 0", 24),
        ("GPU-0a1b2c3d", 24),
        ("", None),
        ("-1", None),
        ("7", None),
        ("GPU-none", None),
        ("NoDevFiles", None),
    ],
)
def test_the_first_gpu_that_cuda_may_use_is_asked(
    monkeypatch: pytest.MonkeyPatch, driver: list[str], visible: str | None, total_gb: int | None
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = gpu.look()
    assert (found and found.total_bytes >> 30) == total_gb
    assert found is None or found.taken_bytes == {7: 2 << 30, 8: 0}
    assert driver == ["init", "shutdown"]


def test_a_gpu_that_torch_was_not_built_for_is_none(
    monkeypatch: pytest.MonkeyPatch, driver: list[str]
) -> None:
    monkeypatch.setattr(gpu.metadata, "version", lambda _: "2.13.0+cpu")
    assert gpu.look() is None
    assert not driver


def test_without_a_driver_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert gpu.look() is None
