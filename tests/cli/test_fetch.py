from __future__ import annotations

import hashlib
import io
import json
import zipfile

import pytest
from fakes import byte_tokenizer, tiny_llama

from genre_gen.cli.fetch import fetch
from genre_gen.domain import Domain
from genre_gen.downloads.archives import DATA, Package, downloads_folder
from genre_gen.errors import SourceError


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    tiny_llama().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def domain(tmp_path, monkeypatch):
    """A domain whose data lies in the downloads folder as an archive."""
    monkeypatch.setenv("GENRE_HOME", str(tmp_path / "home"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("deep/data.csv", "user,item\n")
    content = buffer.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    package = Package(
        "tiny.zip",
        sha256,
        len(content),
        {"deep/data.csv": "data.csv"},
        1,
        "to be cited",
        url="http://127.0.0.1:9/tiny.zip",
    )
    monkeypatch.setitem(DATA, "tiny", {"zip": package})
    downloads_folder().mkdir(parents=True)
    (downloads_folder() / "tiny.zip").write_bytes(content)
    return Domain.from_settings({"name": "toys", "data": {"source": "tiny"}, "model": {"llm": "none/there"}})


def test_the_report_says_what_came_from_where(domain, model, tmp_path):
    report = fetch(domain, str(model))
    data, llm = report.fetched
    assert (data.kind, data.name, data.folder) == ("data", "tiny", tmp_path / "home" / "data" / "tiny" / "zip")
    assert data.origin == "http://127.0.0.1:9/tiny.zip"
    assert data.sha256 == DATA["tiny"]["zip"].sha256
    assert [(file.name, file.bytes) for file in data.files] == [("data.csv", 10)]
    assert data.files[0].sha256 == hashlib.sha256(b"user,item\n").hexdigest()
    assert (llm.kind, llm.folder, llm.origin, llm.sha256) == ("model", model, "your own folder", "")
    assert llm.bytes == sum(path.stat().st_size for path in model.iterdir())
    text = report.table()
    assert f"from {data.origin}, SHA-256 {data.sha256}" in text
    assert "terms: to be cited" in text
    assert "model.safetensors" in text
    assert [entry["kind"] for entry in json.loads(report.to_json())["fetched"]] == ["data", "model"]


def test_without_a_domain_only_the_model_is_fetched(model):
    assert [each.kind for each in fetch(None, str(model)).fetched] == ["model"]


def test_a_domain_with_data_of_its_own_needs_none(model):
    domain = Domain.from_settings({"name": "toys", "data": {"path": "."}})
    assert [each.kind for each in fetch(domain, str(model)).fetched] == ["model"]


def test_the_model_is_the_domains_unless_another_is_named(domain, monkeypatch):
    asked = []

    def note(name, verify):
        asked.append(name)
        raise SourceError("no")

    monkeypatch.setattr("genre_gen.cli.fetch.ensure_model", note)
    for llm in (None, "other/model"):
        with pytest.raises(SourceError):
            fetch(domain, llm)
    assert asked == ["none/there", "other/model"]


def test_a_folder_with_a_manifest_of_someone_else_is_the_users_own(model):
    (model / "manifest.json").write_text('{"origin": {}, "files": {"config.json": "some hash"}}')
    assert fetch(None, str(model)).fetched[0].origin == "your own folder"
