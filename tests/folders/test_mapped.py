"""Tensors that stay in their file: the same as those that are read, and nothing that a header says is believed."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from genre_gen.folders.mapped import ALIGNMENT, MappedTensors, align


@pytest.fixture
def file(tmp_path):
    kinds = (torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool)
    tensors = {str(kind): torch.arange(12).reshape(3, 4).to(kind) for kind in kinds}
    tensors |= {"none": torch.zeros(0, 4), "one": torch.tensor(3.5)}
    save_file(tensors, tmp_path / "x.safetensors", {"format": "pt"})
    return tmp_path / "x.safetensors"


def test_tensors_are_those_of_the_file(file):
    found, wanted = MappedTensors.of_file(file).tensors(), load_file(file)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_a_change_is_private(file):
    before, mapped = file.read_bytes(), MappedTensors.of_file(file)
    mapped.tensors()["one"].fill_(7)
    assert file.read_bytes() == before
    assert float(mapped.tensors()["one"]) == 7


def test_released_pages_are_read_again(file):
    mapped = MappedTensors.of_file(file)
    tensors = mapped.tensors()
    before = {name: value.clone() for name, value in tensors.items()}
    mapped.release()
    assert all(torch.equal(value, before[name]) for name, value in tensors.items())


def test_tensors_outlive_the_file_and_its_folder(file):
    tensors = MappedTensors.of_file(file).tensors()
    file.unlink()
    file.parent.rmdir()
    assert float(tensors["one"]) == 3.5


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [3]}, {"shape": [-2]}, {"shape": [2.0]}, {"shape": [True, 2]}, {"shape": 2}, {"shape": ["2"]},
        {"shape": [10**30, 0]}, {"data_offsets": [8, 16]}, {"data_offsets": [-8, 0]}, {"data_offsets": [8, 0]},
        {"data_offsets": [0]}, {"data_offsets": [0, 8, 8]}, {"dtype": "F31"}, {"dtype": "__class__"}, {"dtype": None},
    ],
)  # fmt: skip
def test_an_invalid_header_is_refused(tmp_path, change):
    header = json.dumps({"x": ONE | change}).encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises((ValueError, TypeError, KeyError, OverflowError, RuntimeError)):
        MappedTensors.of_file(tmp_path / "x").tensors()


@pytest.mark.parametrize("content", [b"1234567", b"\xff" * 8, (3).to_bytes(8, "little") + b"[1]", bytes(8)])
def test_what_is_not_safetensors_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises((ValueError, AttributeError)):
        MappedTensors.of_file(tmp_path / "x").tensors()


def test_a_file_is_aligned_without_changing_its_tensors(tmp_path):
    file = tmp_path / "a.safetensors"
    for name in ("a", "a name of another length"):
        save_file({name: torch.arange(32.0), "b": torch.ones(16)}, file)
        align(file)
        align(file)  # changes nothing more
        mapped, read = MappedTensors.of_file(file).tensors(), load_file(file)
        assert mapped.keys() == read.keys() == {name, "b"}
        for key, tensor in mapped.items():
            assert torch.equal(tensor, read[key])
            assert tensor.data_ptr() % ALIGNMENT == 0
