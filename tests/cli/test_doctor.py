from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import shutil

import pytest
from fakes import byte_tokenizer, tiny_llama
from local_server import LocalServer

from genre_gen.cli import doctor
from genre_gen.cli.doctor import count_parameters, examine, hub_answers
from genre_gen.domain import Domain
from genre_gen.downloads.integrity import whole_folder
from genre_gen.errors import SourceError
from genre_gen.llm.hardware import Machine

BILLION = 1_000_000_000
MACHINE = Machine("Linux x86_64", "3.11.7", 8, 8, 16 * BILLION, 12 * BILLION, ("avx2",))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENRE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(doctor, "examine_machine", lambda: MACHINE)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture
def healthy(monkeypatch):
    """Every package there, as required."""
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in doctor.UNWANTED else "1.0")
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["torch>=1", 'pytest>=9; extra == "dev"'])


@pytest.fixture
def movies():
    return Domain.load("movies")


class TestExamine:
    def test_an_empty_home_is_accepted_and_stays_empty(self, healthy, movies, home):
        found = examine(movies)
        assert found.healthy
        assert not found.data.ready
        assert not found.model.ready
        assert found.parameters is None
        assert found.hub is None
        assert not home.exists()
        assert "genre-gen fetch" in found.table()
        assert "if the model has 135 million weights" in found.table()
        assert found.table().endswith("Nothing is wrong.")

    def test_what_is_there_is_found_and_counted(self, healthy, movies, home):
        folder = home / "data" / "ml-100k" / "zip"
        folder.mkdir(parents=True)
        with whole_folder(folder, {}) as new:
            (new / "u.data").write_text("1\t1\t5\t0\n")
        model = home / "model"
        tiny_llama().save_pretrained(model)
        byte_tokenizer().save_pretrained(model)
        found = examine(movies, str(model))
        assert (found.data.ready, found.data.folder) == (True, folder)
        assert (found.model.ready, found.model.folder) == (True, model)
        weights = sum(weight.numel() for weight in tiny_llama().parameters())
        assert found.parameters == count_parameters(model) == weights

    def test_json_holds_all_of_it(self, healthy, movies):
        found = json.loads(examine(movies).to_json())
        assert found["machine"]["cores"] == 8
        assert found["advice"]["device"] == "cpu"
        assert found["data"]["name"] == "ml-100k"
        assert found["problems"] == []

    def test_a_name_that_can_be_no_model_is_refused(self):
        with pytest.raises(SourceError, match="No model"):
            examine(None, "a/b/c")

    def test_a_missing_and_an_old_package_are_named_with_the_remedy(self, monkeypatch):
        versions = {"genre-gen": "1", "torch": "1.5", "kernels": "0.1"}
        monkeypatch.setattr(doctor, "_version", versions.get)
        monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["torch>=2", "absent<3"])
        problems = "\n".join(examine().problems)
        assert "torch is 1.5, wanted is >=2: run `pip install 'torch>=2'`" in problems
        assert "absent is missing: run `pip install 'absent<3'`" in problems
        assert "pip uninstall kernels" in problems

    def test_running_uninstalled_is_said(self, monkeypatch):
        def unknown(name):
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "requires", unknown)
        monkeypatch.setattr(doctor, "_version", {"torch": "2.6"}.get)
        found = examine()
        assert {package.name: package.version for package in found.packages}["torch"] == "2.6"
        assert any("pip install -e ." in problem for problem in found.problems)

    def test_more_threads_than_cores_are_named(self, healthy, monkeypatch):
        monkeypatch.setattr(doctor, "examine_machine", lambda: dataclasses.replace(MACHINE, threads=64))
        assert "OMP_NUM_THREADS=8" in examine().problems[0]

    def test_too_small_a_disk_is_named_only_while_something_is_to_come(self, healthy, monkeypatch):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
        assert "needs 0.7 GB" in examine().problems[0]
        assert examine(None, "some-one/hub-model").healthy

    def test_a_home_that_cannot_be_made_is_named(self, healthy, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("GENRE_HOME", str(tmp_path / "file" / "home"))
        assert "set GENRE_HOME" in examine().problems[0]


class TestHub:
    def test_it_is_asked_only_when_told_to(self, healthy, monkeypatch):
        server = LocalServer()
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        examine()
        assert server.requests == []
        found = examine(online=True)  # the server answers "not found", which is an answer
        assert found.hub is True
        assert "answers" in found.table()
        server.close()
        assert hub_answers() is False

    def test_silence_is_a_problem_only_for_a_model_that_must_come_from_there(self, healthy, monkeypatch):
        monkeypatch.setattr(doctor, "hub_answers", lambda: False)
        assert examine(online=True).healthy
        assert examine(None, "HuggingFaceTB/SmolLM2-135M-Instruct", online=True).healthy
        assert "some-one/model is not here" in examine(None, "some-one/model", online=True).problems[0]

    @pytest.mark.parametrize("endpoint", ["file:///etc", "ftp://host", "nonsense"])
    def test_other_addresses_than_http_are_not_asked(self, monkeypatch, endpoint):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        assert hub_answers() is False

    def test_offline_means_offline(self, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(doctor.urllib.request, "urlopen", lambda *a, **k: pytest.fail("asked"))
        assert hub_answers() is False
