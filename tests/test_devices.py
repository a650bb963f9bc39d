"""Choosing a device, with the hardware of other machines pretended."""

from __future__ import annotations

import pytest
import torch

from fieldscape import devices
from fieldscape.errors import BadInput


def pretend(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(("cuda", "mps", "expected"), [(1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")])
def test_auto_prefers_cuda_then_mps_then_cpu(
    monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, expected: str
) -> None:
    pretend(monkeypatch, cuda, mps)
    assert devices.pick("auto").type == expected
    assert devices.pick("cpu").type == "cpu"


@pytest.mark.parametrize(
    ("name", "says"),
    [("cuda", "no CUDA GPU"), ("cuda:0", "no CUDA GPU"), ("mps", "no Apple GPU"), ("gpu", "not known"),
     ("", "not known"), ("cpu:x", "not known"), ("meta", "not known")],
)  # fmt: skip
def test_a_device_that_is_not_there_is_one_clear_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    pretend(monkeypatch, 0, False)
    with pytest.raises(BadInput, match=says):
        devices.pick(name)


def test_the_second_gpu_of_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 1, False)
    assert devices.pick("cuda:0") == torch.device("cuda:0")
    with pytest.raises(BadInput, match="only 1"):
        devices.pick("cuda:1")


def test_the_description_names_the_device() -> None:
    text = devices.describe(torch.device("cpu"))
    assert text.startswith("cpu: ")
    assert text.endswith(f"{torch.get_num_threads()} threads")


@pytest.mark.parametrize(
    ("narrow", "wide", "expected"), [(1e-3, 4e-3, True), (1e-3, 1.4e-3, False), (5e-3, 1e-3, False)]
)
def test_bf16_pays_only_when_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, narrow: float, wide: float, expected: bool
) -> None:
    seconds = {torch.bfloat16: narrow, torch.float32: wide}
    monkeypatch.setattr(devices, "_product_seconds", lambda device, dtype: seconds[dtype])
    assert devices.bf16_pays(torch.device("cpu")) is expected


def test_a_device_without_bf16_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: torch.device, dtype: torch.dtype) -> float:
        if dtype == torch.bfloat16:
            raise TypeError("BFloat16 is not supported")
        return 1e-3

    monkeypatch.setattr(devices, "_product_seconds", refuse)
    assert devices.bf16_pays(torch.device("cpu")) is False


def test_the_measurement_itself_runs() -> None:
    assert devices.bf16_pays(torch.device("cpu")) in (True, False)
