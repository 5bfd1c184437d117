"""A recommender that names its own pre-trained model: whose model is taken, and whose is not."""

import re
import shutil

import pytest
from answers import assert_same
from fakes import altered
from local_hub import local_hub
from saved_folders import edit_json

from genre_gen import Recommender
from genre_gen.downloads.models import ensure_model
from genre_gen.errors import CheckpointError, SourceError
from genre_gen.recommender.persistence import SETTINGS
from tests.cli.conftest import genre  # noqa: F401 - a fixture

HISTORY = ["Alien (1979)", "Heat (1995)"]


@pytest.fixture
def hub(monkeypatch, tmp_path, tiny_model):
    with local_hub(monkeypatch, tmp_path, tiny_model) as served:
        yield served


@pytest.fixture
def over(mixed, tmp_path):
    """Return what saves the recommender over a model of a name, and returns the folder."""

    def save(llm):
        altered(mixed, {"model.llm": llm}).save_pretrained(tmp_path / "run")
        return tmp_path / "run"

    return save


def asked_for(hub, name):
    return [path for _, path, _, _ in hub.seen if name in path]


def test_a_folder_that_names_a_model_of_the_hub_fetches_nothing(hub, over, mixed):
    run = over("lab/tiny")
    with pytest.raises(CheckpointError, match="made over the pre-trained model of lab/tiny on the hub") as error:
        Recommender.from_pretrained(run)
    assert "\n" not in str(error.value)
    assert not hub.seen
    argument = re.search("load with allow_model='(.+)'", str(error.value))[1]  # the remedy
    assert_same(Recommender.from_pretrained(run, allow_model=argument).recommend(HISTORY), mixed.recommend(HISTORY))
    assert asked_for(hub, "lab/tiny")
    assert Recommender.from_pretrained(run)  # the model is here now, because somebody of this machine wanted it


@pytest.mark.parametrize("allowed", ["lab/other", "lab", "lab/tiny@main", ""])
def test_another_name_allows_nothing(hub, over, allowed):
    with pytest.raises(CheckpointError, match="allow_model='lab/tiny'"):
        Recommender.from_pretrained(over("lab/tiny"), allow_model=allowed)
    assert not hub.seen


def test_a_model_that_is_here_is_taken(hub, over):
    ensure_model("lab/tiny")
    assert Recommender.from_pretrained(over("lab/tiny"))


def test_a_fetched_recommender_may_name_its_owners_model_and_no_other(hub, mixed):
    altered(mixed, {"model.llm": "lab/tiny"}).push_to_hub("lab/movies")
    hub.repositories["else/movies"] = hub.repositories["lab/movies"]
    for present in (False, True):  # a model that is here may be private
        hub.seen.clear()
        with pytest.raises(CheckpointError, match=r"lab/tiny on the hub.*allow_model='lab/tiny'"):
            Recommender.from_pretrained("else/movies")
        assert not asked_for(hub, "lab/tiny")
        if not present:
            assert Recommender.from_pretrained("lab/movies").recommend(HISTORY)
    assert Recommender.from_pretrained("else/movies", allow_model="lab/tiny").recommend(HISTORY)


@pytest.mark.parametrize("owner", ["LAB", "lab.", "lab-", "la", "labx"])
def test_a_similar_owner_is_another_one(hub, mixed, owner):
    altered(mixed, {"model.llm": "lab/tiny"}).push_to_hub("lab/movies")
    hub.repositories[f"{owner}/movies"] = hub.repositories["lab/movies"]
    with pytest.raises((CheckpointError, SourceError)):
        Recommender.from_pretrained(f"{owner}/movies")
    assert not asked_for(hub, "lab/tiny")


def test_a_fetched_recommender_names_no_folder_of_this_machine(hub, mixed, tiny_model, tmp_path):
    mixed.push_to_hub("lab/movies", base_model="lab/tiny")
    shutil.copytree(tiny_model, tmp_path / "private")
    folder = tmp_path / "fetched"
    for name, content in hub.head("lab/movies").items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    private = str(tmp_path / "private")
    edit_json(folder, SETTINGS, lambda content: content["domain"]["model"].update(llm=private))
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    hub.repositories["lab/movies"].branches["main"].append(files)
    with pytest.raises(CheckpointError, match=f"the folder {re.escape(private)}, which is not taken"):
        Recommender.from_pretrained("lab/movies")
    assert Recommender.from_pretrained("lab/movies", allow_model=private)
    assert Recommender.from_pretrained(folder)  # whoever copied it here sees what it names


def test_a_folder_of_a_model_that_is_gone_is_said(over, tiny_model, tmp_path):
    run = over(str(shutil.copytree(tiny_model, tmp_path / "model")))
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(SourceError, match=r"No model '.*': give one of .* an existing folder"):
        Recommender.from_pretrained(run)
    shutil.copytree(tiny_model, tmp_path / "model")
    assert Recommender.from_pretrained(run)


def test_the_command_line_names_its_option(hub, over, genre):  # noqa: F811
    run = over("lab/tiny")
    arguments = ("recommend", "--model", run, "--history", "Alien (1979)")
    code, _, err = genre(*arguments)
    assert code == 1
    assert err.count("\n") == 1
    option = re.search("give (--allow-model) (.+)", err).groups()
    assert genre(*arguments, *option)[0] == 0
