"""Tensors of a safetensors file that stay in the file until they are used.

The file is mapped into memory: the operating system reads its pages when they are needed, shares them among processes
and may drop them again. Changes of the tensors are private to the process.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from torch import Tensor

_KINDS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_PREFIX = 8  # bytes that hold the length of the header
ALIGNMENT = 64
"""Bytes of a cache line. Products of tensors at other addresses are rounded differently by some libraries."""


def align(file: Path) -> None:
    """Pad the header of a safetensors file, so that its tensors begin at a multiple of ALIGNMENT when it is mapped.

    Tensors after one with a size that is not a multiple of it are not aligned.
    """
    content = file.read_bytes()
    length = int.from_bytes(content[:_PREFIX], "little")
    padding = -(_PREFIX + length) % ALIGNMENT
    if padding:
        header = content[_PREFIX : _PREFIX + length] + b" " * padding  # which the format allows
        file.write_bytes(len(header).to_bytes(_PREFIX, "little") + header + content[_PREFIX + length :])


class MappedTensors:
    """The bytes of a safetensors file, mapped, and tensors that are views of them."""

    def __init__(self, descriptor: int, size: int) -> None:
        """Map ``size`` bytes of an open file; the descriptor may be closed afterwards.

        Raises:
            ValueError: the file is shorter, or empty.
        """
        self.buffer = mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)

    @classmethod
    def of_file(cls, file: Path) -> Self:
        """Map a whole file; raises OSError or ValueError where it cannot be."""
        with file.open("rb") as stream:
            return cls(stream.fileno(), os.fstat(stream.fileno()).st_size)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name; raises an exception where the bytes are not safetensors."""
        length = int.from_bytes(self.buffer[:_PREFIX], "little")
        begin = _PREFIX + length
        if begin > len(self.buffer):
            raise ValueError("the header is longer than the file")
        header = json.loads(bytes(self.buffer[_PREFIX:begin]).decode("utf-8"))
        return {name: self._tensor(about, begin) for name, about in header.items() if name != "__metadata__"}

    def release(self) -> None:
        """Give back the memory of all pages; they are read again when they are used.

        Only for use before anything could have changed a tensor, since changes are lost.
        """
        if hasattr(mmap, "MADV_DONTNEED"):
            self.buffer.madvise(mmap.MADV_DONTNEED)

    def _tensor(self, about: Mapping[str, Any], start: int) -> Tensor:
        import torch

        if about["dtype"] not in _KINDS:
            raise ValueError(f"numbers of the kind {str(about['dtype'])[:20]} are not read here")
        kind, shape, (begin, end) = getattr(torch, _KINDS[about["dtype"]]), about["shape"], about["data_offsets"]
        count = prod(shape)
        whole = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
        if not whole or end - begin != count * kind.itemsize or start + end > len(self.buffer):
            raise ValueError("a tensor's place does not fit its shape, or is outside the file")
        if not count:
            return torch.empty(shape, dtype=kind)
        return torch.frombuffer(self.buffer, dtype=kind, count=count, offset=start + begin).reshape(shape)
