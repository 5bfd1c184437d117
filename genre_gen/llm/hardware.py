"""The machine's resources for a language model, and the settings that suit it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal, TypeAlias

GIGABYTE = 1e9
CONTAINER = Path("/sys/fs/cgroup")  # Linux has a container's limits here
WORKING_MEMORY = 2.0 * GIGABYTE  # of Python, the libraries and one batch
CPU_FLAGS = (  # instruction sets for fast arithmetic, by their names in Linux
    *("avx", "avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "sve", "bf16", "i8mm"),
)


BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # without these, bfloat16 is slower than float32
Scheme: TypeAlias = Literal["none", "bf16", "int8"]


@dataclass(frozen=True)
class Gpu:
    """One GPU that torch can use; ``memory`` in bytes."""

    name: str
    memory: int


@dataclass(frozen=True)
class Machine:
    """The resources of this machine; ``cores`` and ``memory`` (bytes) within a container's limits.

    Attributes:
        system: operating system and architecture.
        threads: threads that torch uses.
        cpu_flags: those of :data:`CPU_FLAGS` that the processor has; as reported by torch on other systems than Linux.
        gpus: CUDA (or ROCm) devices.
        gpu_bfloat16: whether they all compute in bfloat16.
        mps: whether an Apple GPU can be used.
    """

    system: str
    python: str
    cores: int
    threads: int
    memory: int
    free_memory: int
    cpu_flags: tuple[str, ...]
    gpus: tuple[Gpu, ...] = ()
    gpu_bfloat16: bool = False
    mps: bool = False

    @property
    def bfloat16(self) -> bool:
        """Tell whether products in bfloat16 are fast: on the GPUs if there are any, else on the processor."""
        return self.gpu_bfloat16 if self.gpus else computes_bfloat16(self.cpu_flags)


@dataclass(frozen=True)
class Advice:
    """The settings that suit a machine and a model, with reasons.

    Attributes:
        device: the device of the model.
        dtype: the precision of training.
        quantization: ``model.quantization``, of the pre-trained base in training.
        adapter: ``model.adapter``.
        serving: ``serving.quantization``, of the trained model.
    """

    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16"]
    quantization: Literal["none", "int8", "nf4"]
    adapter: Literal["full", "lora"]
    reason: str
    serving: Scheme
    serving_reason: str


def examine_machine() -> Machine:
    """Detect the machine's resources with the system and torch."""
    import psutil
    import torch

    memory = psutil.virtual_memory()
    limit = int(min(memory.total, _container_memory()))
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        cores=_cores(),
        threads=torch.get_num_threads(),
        memory=limit,
        free_memory=min(memory.available, limit),
        cpu_flags=_cpu_flags() or (torch.backends.cpu.get_cpu_capability().lower(),),
        gpus=tuple(Gpu(gpu.name, gpu.total_memory) for gpu in gpus),
        gpu_bfloat16=bool(gpus) and torch.cuda.is_bf16_supported(including_emulation=False),
        mps=torch.backends.mps.is_available(),
    )


def advise(machine: Machine, parameters: int) -> Advice:
    """Choose the most accurate settings for a model with ``parameters`` weights that fit the machine's memory.

    Training in few bits saves memory but no time, so it is advised only if memory is short. bfloat16 is slower than
    float32 on a CPU without units for it. Serving differs (``eval.serving.quantization``): eight bits are fastest on a
    processor with AVX2, with or without units for bfloat16. An Apple GPU is not used.
    """
    room = max((gpu.memory for gpu in machine.gpus), default=machine.free_memory)
    place = "GPU memory" if machine.gpus else "free memory"
    choices: tuple[tuple[Literal["full", "lora"], Literal["none", "int8", "nf4"], float], ...] = (
        ("full", "none", 16.0),  # bytes per weight: weight, gradient and two moments, 4 each
        ("lora", "none", 2.0 if machine.gpu_bfloat16 else 4.0),  # on a CPU the base is in single precision
        ("lora", "int8", 1.2),  # embeddings and norms are not quantized
        ("lora", "nf4", 0.7),
    )
    fitting = (choice for choice in choices if parameters * choice[2] + WORKING_MEMORY <= room)
    adapter, quantization, each = next(fitting, choices[-1])
    need = parameters * each + WORKING_MEMORY
    fits = "fits into" if need <= room else "is more than"
    reason = f"needs about {need / GIGABYTE:.1f} GB, which {fits} {room / GIGABYTE:.1f} GB of {place}"
    return Advice(
        "cuda" if machine.gpus else "cpu",
        "bfloat16" if machine.bfloat16 else "float32",
        quantization,
        adapter,
        reason,
        *_serving(machine, quantization),
    )


def _serving(machine: Machine, quantization: str) -> tuple[Scheme, str]:
    """Return the quantization for serving, and the reason."""
    if quantization != "none":
        return "none", f"the base was trained in {quantization} and is served in it"
    if machine.gpus:
        if machine.gpu_bfloat16:
            return "bf16", "half the memory, and the GPU supports it"
        return "none", "the GPU does not support bfloat16"
    exact = computes_bfloat16(machine.cpu_flags)
    if any(flag.startswith(("avx2", "avx512")) for flag in machine.cpu_flags):
        also = "; bf16 is a fifth slower here, and hardly changes scores" if exact else ""
        return "int8", f"less than half the memory, and the fastest on this processor{also}"
    if exact:
        return "bf16", "half the memory, and this processor has units for it"
    return "none", "fewer bits are not known to be faster on this processor; nf4 needs the least memory"


def computes_bfloat16(flags: Sequence[str] | None = None) -> bool:
    """Tell whether this processor, or one with these flags, has units for products in bfloat16."""
    return not BFLOAT16_FLAGS.isdisjoint(_cpu_flags() if flags is None else flags)


def _cores(root: Path = CONTAINER) -> int:
    """Return the number of cores that this process may use, within a container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (root / "cpu.max").read_text(encoding="ascii").split()
        return min(cores, ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        return cores


def _cpu_flags() -> tuple[str, ...]:
    """Return the flags of the first processor on Linux; on other systems none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    words = next((line.split(":", 1)[1].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return tuple(flag for flag in CPU_FLAGS if flag in words)


def _container_memory(root: Path = CONTAINER) -> float:
    """Return the memory limit of the container in bytes; infinite without a limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return float(int((root / name).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return float("inf")
