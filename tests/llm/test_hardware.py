from __future__ import annotations

import dataclasses
import os

import pytest

from genre_gen.llm.hardware import Gpu, Machine, _container_memory, _cores, advise, examine_machine

BILLION = 1_000_000_000
MACHINE = Machine("Linux x86_64", "3.11.7", 8, 8, 16 * BILLION, 12 * BILLION, ("avx2",))


class TestMachine:
    def test_this_machine_is_described_truly(self):
        machine = examine_machine()
        assert 1 <= machine.cores <= (os.cpu_count() or 1)
        assert machine.threads >= 1
        assert 0 < machine.free_memory <= machine.memory
        assert machine.cpu_flags

    def test_limits_of_a_container_are_used(self, tmp_path):
        assert _container_memory(tmp_path) == float("inf")
        (tmp_path / "memory.max").write_text("max\n")
        (tmp_path / "cpu.max").write_text("max 100000\n")
        assert _container_memory(tmp_path) == float("inf")
        free = _cores(tmp_path)
        (tmp_path / "memory.max").write_text("2000000\n")
        (tmp_path / "cpu.max").write_text("50000 100000\n")
        assert _container_memory(tmp_path) == 2_000_000
        assert _cores(tmp_path) == 1 <= free


class TestAdvice:
    @pytest.mark.parametrize(
        ("parameters", "adapter", "quantization"),
        [
            (135_000_000, "full", "none"),
            (1_500_000_000, "lora", "none"),  # 24 GB to tune fully, 6 GB to hold
            (7_000_000_000, "lora", "int8"),
            (13_000_000_000, "lora", "nf4"),
        ],
    )
    def test_a_cpu_gets_the_most_exact_that_fits(self, parameters, adapter, quantization):
        advice = advise(MACHINE, parameters)
        assert (advice.device, advice.dtype) == ("cpu", "float32")
        assert (advice.adapter, advice.quantization) == (adapter, quantization)
        assert "fits into 12.0 GB of free memory" in advice.reason
        never = advise(MACHINE, 100 * BILLION)
        assert never.quantization == "nf4"
        assert "72.0 GB, which is more than 12.0 GB" in never.reason

    def test_a_gpu_is_used_and_its_memory_counts(self):
        machine = dataclasses.replace(MACHINE, gpus=(Gpu("A", 80 * BILLION),), gpu_bfloat16=True)
        advice = advise(machine, 3 * BILLION)
        assert (advice.device, advice.dtype, advice.adapter) == ("cuda", "bfloat16", "full")
        assert "80.0 GB of GPU memory" in advice.reason
        old = dataclasses.replace(MACHINE, gpus=(Gpu("T", 8 * BILLION),))
        assert advise(old, 3 * BILLION).dtype == "float32"
        assert advise(old, 3 * BILLION).quantization == "int8"

    def test_a_processor_with_units_for_bfloat16_trains_in_it(self):
        machine = dataclasses.replace(MACHINE, cpu_flags=("avx2", "avx512_bf16"))
        assert advise(machine, BILLION).dtype == "bfloat16"
        assert not dataclasses.replace(machine, gpus=(Gpu("T", 8 * BILLION),)).bfloat16
        assert advise(dataclasses.replace(machine, mps=True), BILLION).device == "cpu"  # an Apple GPU is not used

    @pytest.mark.parametrize(
        ("change", "parameters", "serving", "reason"),
        [
            ({"cpu_flags": ("avx", "avx2")}, 135_000_000, "int8", "fastest on this processor"),
            (
                {"cpu_flags": ("avx512",)},
                135_000_000,
                "int8",
                "fastest on this processor",
            ),  # as reported by torch on other systems
            ({"cpu_flags": ("avx2", "avx512_vnni", "avx512_bf16")}, 135_000_000, "int8", "bf16 is a fifth slower here"),
            ({"cpu_flags": ("asimd", "bf16")}, 135_000_000, "bf16", "has units for it"),
            ({"cpu_flags": ("asimd",)}, 135_000_000, "none", "not known to be faster"),
            ({"cpu_flags": ("avx2",)}, 7 * BILLION, "none", "the base was trained in int8 and is served in it"),
            ({"gpus": (Gpu("A", 80 * BILLION),), "gpu_bfloat16": True}, BILLION, "bf16", "half the memory"),
            ({"gpus": (Gpu("T", 80 * BILLION),)}, BILLION, "none", "does not support bfloat16"),
        ],
    )
    def test_serving_has_advice_of_its_own(self, change, parameters, serving, reason):
        advice = advise(dataclasses.replace(MACHINE, **change), parameters)
        assert advice.serving == serving
        assert reason in advice.serving_reason
