"""Recommenders pushed to a hub on this machine, and loaded back from it."""

import json
import re
from dataclasses import replace

import pytest
from answers import assert_same
from fakes import altered
from local_hub import local_hub

from genre_gen import Recommender
from genre_gen.errors import CheckpointError, OutputError, SourceError, UsageError

ID = "lab/movies"
BY_HAND = ["Toy Story (1995)", ("Alien (1979)", 4), ("Heat (1995)", 2)]


@pytest.fixture
def hub(monkeypatch, tmp_path, tiny_model):
    with local_hub(monkeypatch, tmp_path, tiny_model) as served:
        yield served


@pytest.fixture
def onhub(mixed):
    """Return that recommender, its pre-trained model named by the id that the hub has it under."""
    return altered(mixed, {"model.llm": "lab/tiny"})


def timeless(picks):
    """Picks without the seconds that their explanations took."""
    return [
        replace(pick, explanation=pick.explanation and replace(pick.explanation, seconds=0.0)) for pick in picks
    ], picks.notes


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    assert "good" not in text
    return text


def test_what_is_pushed_loads_back_and_answers_the_same(hub, onhub):
    commit = onhub.push_to_hub(ID)
    assert commit.commit_url.startswith(f"{hub.url}/{ID}/commit/")
    again = Recommender.from_pretrained(ID)
    for options in ({}, {"where": "year >= 1990"}, {"query": "a comedy from the 90s"}, {"explain": True}):
        assert timeless(again.recommend(BY_HAND, **options)) == timeless(onhub.recommend(BY_HAND, **options))
    assert again.domain.model.llm == "lab/tiny"


def test_the_pushed_files_are_these_and_no_history_is_among_them(hub, onhub, saved):
    onhub.push_to_hub(ID)
    files = hub.head(ID)
    folder = {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()}
    assert set(files) == folder - {"histories.safetensors", "trained_on.safetensors"} | {"counts.safetensors"}
    users = [f'"{user}"'.encode() for user in onhub.state.histories.users]
    for name in ("counts.safetensors", "members/svd.safetensors", "recommender.json", "README.md"):
        assert not [user for user in users if user in files[name]], name


def test_histories_go_along_where_they_are_asked_for(hub, onhub):
    onhub.push_to_hub(ID, histories=True)
    assert {"histories.safetensors", "trained_on.safetensors"} < set(hub.head(ID))
    again = Recommender.from_pretrained(ID)
    assert_same(again.recommend("17"), onhub.recommend("17"))
    onhub.push_to_hub(ID)  # and are taken out again
    assert "histories.safetensors" not in hub.head(ID)
    assert "trained_on.safetensors" not in hub.head(ID)


def test_files_of_others_stay(hub, onhub):
    onhub.push_to_hub(ID)
    hub.head(ID)["LICENSE"] = b"terms"
    onhub.push_to_hub(ID, histories=True)
    assert hub.head(ID)["LICENSE"] == b"terms"


def test_the_card_is_one_that_the_hub_takes_and_names_the_repository(hub, onhub):
    onhub.push_to_hub(ID, metrics={"N@10": 0.25})
    card = hub.head(ID)["README.md"].decode()
    assert f'Recommender.from_pretrained("{ID}")' in card
    assert "| `N@10` | 0.25 |" in card
    assert "base_model: lab/tiny" in card
    assert [path for _, path, _, _ in hub.seen if path == "/api/validate-yaml"]


def test_a_branch_a_revision_and_a_pull_request(hub, onhub):
    onhub.push_to_hub(ID, commit_message="First", commit_description="of all")
    header = json.loads(next(body for _, path, _, body in hub.seen if "/commit/" in path).splitlines()[0])
    assert header["value"] == {"summary": "First", "description": "of all"}
    onhub.push_to_hub(ID, revision="next", histories=True)
    assert "histories.safetensors" in hub.head(ID, "next")
    assert "histories.safetensors" not in hub.head(ID)
    assert Recommender.from_pretrained(ID, revision="next").state.histories.users
    with pytest.raises(SourceError, match=r"^lab/movies: no folder here, and the hub has no revision 'none' of it"):
        Recommender.from_pretrained(ID, revision="none")
    commit = onhub.push_to_hub(ID, create_pr=True, token="poor", histories=True)
    assert commit.pr_url == f"{hub.url}/{ID}/discussions/1"
    assert "histories.safetensors" not in hub.head(ID)


def test_a_private_repository_is_seen_with_a_token_only(hub, onhub, monkeypatch):
    onhub.push_to_hub(ID, private=True)
    assert hub.repositories[ID].private
    with pytest.raises(SourceError, match=r"no repository of this name that you may see; .* set HF_TOKEN"):
        Recommender.from_pretrained(ID, token="poor")
    assert Recommender.from_pretrained(ID, token="good").recommend(BY_HAND)


def test_nothing_private_is_pushed_into_a_repository_that_is_public(hub, onhub):
    onhub.push_to_hub(ID)
    before = hub.head(ID)
    with pytest.raises(UsageError, match="lab/movies exists and is public; make it private on the hub"):
        onhub.push_to_hub(ID, private=True, histories=True)
    assert hub.head(ID) is before
    hub.repositories[ID].private = True  # the remedy
    onhub.push_to_hub(ID, private=True, histories=True)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("wrong", "the hub does not know this token; run `hf auth login`, or set HF_TOKEN to one that may write"),
        ("poor", "this token has no write access there; use one that has"),
        (False, "the hub does not know this token"),
    ],
)
def test_a_push_without_permission_fails_with_one_line(hub, onhub, token, message):
    with pytest.raises(OutputError, match=f"^{ID}: {re.escape(message)}") as error:
        onhub.push_to_hub(ID, token=token)
    one_line(error)
    assert ID not in hub.repositories
    assert onhub.push_to_hub(ID)  # a token that may write is the remedy


@pytest.mark.parametrize("place", ["/large/", "/commit/", "/api/repos/create", "/preupload/"])
def test_a_hub_that_breaks_off_is_one_line_and_nothing_is_lost(hub, onhub, tmp_path, place):
    onhub.save_pretrained(tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    hub.breaks_at = place
    with pytest.raises(OutputError, match=r"^lab/movies: the hub cannot be reached, or broke off \(.*push again$") as e:
        onhub.push_to_hub(ID)
    one_line(e)
    assert ID not in hub.repositories or not hub.head(ID)
    hub.breaks_at, hub.broken = None, False
    assert onhub.push_to_hub(ID)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_offline_is_said_clearly(hub, onhub, monkeypatch):
    from huggingface_hub import constants

    onhub.push_to_hub(ID)
    Recommender.from_pretrained(ID)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OutputError, match="cannot be pushed while HF_HUB_OFFLINE is set; unset it, and push again"):
        onhub.push_to_hub(ID)
    asked = len(hub.seen)
    assert Recommender.from_pretrained(ID).recommend(BY_HAND) == onhub.recommend(BY_HAND)  # of the hub's own cache
    assert len(hub.seen) == asked
    with pytest.raises(SourceError, match=r"does not answer for it .*HF_HUB_OFFLINE") as error:
        Recommender.from_pretrained("lab/others")
    one_line(error)


@pytest.mark.parametrize("name", ["movies", "a/b/c", "", "-/x", "../x"])
def test_an_invalid_name_of_a_repository_is_refused(hub, onhub, name):
    with pytest.raises(UsageError, match="write owner and name, such as owner/movies"):
        onhub.push_to_hub(name)
    assert not hub.seen


def test_a_pre_trained_model_from_a_local_folder_needs_its_hub_id(hub, mixed, tiny_model):
    with pytest.raises(UsageError, match="is a folder of this machine, which other machines cannot load") as error:
        mixed.push_to_hub(ID)
    assert str(tiny_model) not in str(error.value)
    mixed.push_to_hub(ID, base_model="lab/tiny")
    assert not [name for name, content in hub.head(ID).items() if str(tiny_model).encode() in content]
    assert_same(Recommender.from_pretrained(ID).recommend(BY_HAND), mixed.recommend(BY_HAND))


def test_nothing_that_could_run_is_fetched(hub, onhub):
    onhub.push_to_hub(ID)
    hub.head(ID).update({"evil.py": b"evil", "weights.bin": b"pickle", "prompts/x.pkl": b"pickle", "NOTES.md": b"-"})
    Recommender.from_pretrained(ID)
    fetched = {path.partition(f"/{ID}/resolve/")[2].partition("/")[2] for _, path, _, _ in hub.seen if ID in path}
    assert {name.rsplit(".", 1)[-1] for name in fetched - {""}} == {"safetensors", "json", "jsonl", "jinja", "md"}
    assert "NOTES.md" not in fetched


def test_what_was_changed_on_the_hub_is_refused(hub, onhub):
    commit = onhub.push_to_hub(ID)
    pushed = hub.head(ID)
    for name in ("README.md", "counts.safetensors", "recommender.json"):
        hub.repositories[ID].branches["main"].append({**pushed, name: pushed[name] + b" "})
        with pytest.raises(CheckpointError, match=f"{name}: differs from its checksum"):
            Recommender.from_pretrained(ID)
    assert Recommender.from_pretrained(ID, revision=commit.oid)  # as it was pushed


def test_the_hub_is_told_the_token_and_nothing_of_the_machine(hub, onhub, tmp_path):
    onhub.push_to_hub(ID)
    for _, path, _, body in hub.seen:
        assert "good" not in path
        assert b"good" not in body.replace(b"a good ", b"")
        assert str(tmp_path).encode() not in body
