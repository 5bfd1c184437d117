from eval.serving import folder_size


def test_files_and_arrays_are_listed_with_their_sizes(saved, tmp_path, run, entry):
    assert run(folder_size, saved, "--out", tmp_path) == 0
    content = entry(tmp_path / "folder_size.json")
    on_disk = {file.name: file.stat().st_size for file in saved.rglob("*.safetensors")}
    assert content["bytes"] == sum(content["files"].values()) > sum(on_disk.values())
    sizes = {name: size for name, size, _ in content["arrays"]}
    assert 4 * 780 == sizes["ease: lower"] < on_disk["ease.safetensors"]  # the pairs of 40 items
