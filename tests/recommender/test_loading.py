"""Folders whose checksums are right and whose contents are not: refused in one line, at once, whatever is wrong."""

import copy as copies
import json
import shutil

import pytest
import torch
from answers import assert_same
from effort import bounded
from saved_folders import MANIFEST, edit_arrays, edit_json, edit_text, relist

from genre_gen import Recommender
from genre_gen.errors import GenreGenError
from genre_gen.folders.manifest import sha256_of
from genre_gen.recommender.persistence import (
    CATALOG,
    CODES,
    COUNTS,
    HISTORIES,
    KNOWLEDGE,
    SETTINGS,
    TRAINED_ON,
    WEIGHTS,
)

HUGE, DEEP = 10**400, "[" * 100_000
EASE, SVD, RULES = "members/ease.safetensors", "members/svd.safetensors", "members/sequential_rules.safetensors"
POPULARITY = "members/popularity.safetensors"


@pytest.fixture
def copy(saved, tmp_path):
    """Return a copy of the saved folder, to change."""
    shutil.copytree(saved, tmp_path / "movies")
    return tmp_path / "movies"


@pytest.fixture(scope="module")
def unshared(tiny_recommender, tmp_path_factory):
    """Return a folder without histories; do not change it."""
    folder = tmp_path_factory.mktemp("shared") / "movies"
    tiny_recommender.save_pretrained(folder, histories=False)
    return folder


def refused(folder):
    """Load a folder and return the one line that refuses it."""
    with bounded(), pytest.raises(GenreGenError) as caught:
        Recommender.from_pretrained(folder)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert len(message) < 2100
    assert message.isprintable()
    return message


def put(*path_and_value):
    """Return what sets a value at a path in nested JSON."""
    *path, last, value = path_and_value

    def change(content):
        inner = content
        for key in path:
            inner = inner[key]
        inner[last] = value

    return change


def drop(*path):
    """Return what takes a key out of nested JSON."""

    def change(content):
        inner = content
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


KEYS = ("version", "domain", "codes", "answers", "members", "tuned", "raters", "seconds", "training_log", "prompts")
WEIGHT, WITHOUT = ("tuned", "blend", "weights"), ("tuned", "blend_without_llm", "weights")
SETTINGS_CHANGES = {
    **{f"{key} a number": put(key, 7) for key in (*KEYS, "metrics", "shared")},
    **{f"{key} missing": drop(key) for key in KEYS},
    "a list": lambda content: [content],
    "null": lambda content: "null",
    "extra key": put("plugin", "evil"),
    "domain of texts": put("domain", "name", 7),
    "unknown key of the domain": put("domain", "hook", "evil"),
    "domain without a name": drop("domain", "name"),
    "codes name a long text": put("domain", "codes", "scheme", "x" * 10_000_000),
    "huge layer": put("domain", "model", "exit_layer", HUGE),
    "no layer": put("domain", "model", "exit_layer", 0),
    "layers that are not there": put("domain", "model", "exit_layer", 99),
    "max_history NaN": put("domain", "model", "max_history", float("nan")),
    "max_history huge": put("domain", "model", "max_history", HUGE),
    "answers with a huge id": put("answers", "rating", [[HUGE]]),
    "answers beyond the vocabulary": put("answers", "rating", [[10**6], [4]]),
    "answers below -1": put("answers", "rating", [[-7], [4]]),
    "answers of nothing": put("answers", "rating", []),
    "answers of padding alone": put("answers", "rating", [[-1], [-1]]),
    "answers of different lengths": put("answers", "rating", [[1], [1, 2]]),
    "answers with gaps": put("answers", "rating", [[-1, 4]] * 5),
    "answers of truth values": put("answers", "rating", [[True]]),
    "answers of an unknown task": put("answers", "../x", [[1], [2]]),
    "fewer answers": lambda content: content["answers"]["rating"].pop(),
    "unknown member": put("members", "evil", {}),
    "member with a path": put("members", "../evil", {}),
    "unknown setting of a member": put("members", "ease", "hook", 1),
    "member setting of another kind": put("members", "ease", "l2", "many"),
    "member setting NaN": put("members", "ease", "l2", float("nan")),
    "member setting infinite": put("members", "ease", "recency", float("inf")),
    "member setting huge": put("members", "sequential_rules", "smoothing", HUGE),
    "member setting a list": put("members", "sequential_rules", "decay", [1]),
    "half life negative": put("members", "popularity", "half_life_days", -1),
    "svd mean NaN": put("members", "svd", "mean", float("nan")),
    "svd mean huge": put("members", "svd", "mean", 1e300),
    "svd factors huge": put("members", "svd", "factors", 10**12),
    "svd scale reversed": put("members", "svd", "rating_scale", [5, 1]),
    "svd scale of texts": put("members", "svd", "rating_scale", ["a", "b"]),
    "svd scale NaN": put("members", "svd", "rating_scale", [float("nan"), 5]),
    "svd duplicates unknown": put("members", "svd", "duplicates", "evil"),
    "rater without a mean": drop("raters", "svd", "mean"),
    "rater unlike the member of its name": put("raters", "svd", "mean", 2.0),
    "weight negative": put(*WEIGHT, "ease", -1),
    "weight NaN": put(*WEIGHT, "ease", float("nan")),
    "weight infinite": put(*WEIGHT, "ease", float("inf")),
    "weight huge": put(*WEIGHT, "ease", 1e308),
    "weight a huge number": put(*WEIGHT, "ease", HUGE),
    "weight a text": put(*WEIGHT, "ease", "1"),
    "weight a truth value": put(*WEIGHT, "ease", True),
    "weights all 0": put("tuned", "blend", "weights", {"ease": 0.0}),
    "weights a list": put("tuned", "blend", "weights", [1]),
    "weights of nobody": put("tuned", "blend", "weights", {}),
    "weight of an unknown member": put(*WEIGHT, "evil", 0.5),
    "weight of an unknown member without the language model": put(*WITHOUT, "evil", 0.5),
    "extra key of a blend": put("tuned", "blend", "hook", 1),
    "extra key of what was tuned": put("tuned", "hook", 1),
    "epochs a text": put("tuned", "epochs", "2"),
    "epochs negative": put("tuned", "epochs", -2),
    "epochs a huge number": put("tuned", "epochs", HUGE),
    "temperature NaN": put("tuned", "temperature", float("nan")),
    "temperature 0": put("tuned", "temperature", 0),
    "temperature a text": put("tuned", "temperature", "hot"),
    "teacher a list": put("tuned", "teacher", ["ease"]),
    "teacher's weight a text": put("tuned", "teacher", {"ease": "1"}),
    "tuned members a list": put("tuned", "members", ["ease"]),
    "tuned member's settings a number": put("tuned", "members", {"ease": 5}),
    "ratings a list": put("tuned", "ratings", [1]),
    "rating weight NaN": put("tuned", "ratings", "weights", {"svd": float("nan")}),
    "rating weight negative": put("tuned", "ratings", "weights", {"svd": -1.0}),
    "rating weight of nobody": put("tuned", "ratings", "weights", {"evil": 1.0}),
    "no rating weights": put("tuned", "ratings", "weights", {}),
    "intercept NaN": put("tuned", "ratings", "intercept", float("nan")),
    "intercept a text": put("tuned", "ratings", "intercept", "1"),
    "rating scale reversed": put("tuned", "ratings", "rating_scale", [5, 1]),
    "rating scale of three": put("tuned", "ratings", "rating_scale", [1, 2, 3]),
    "rating scale infinite": put("tuned", "ratings", "rating_scale", [1, float("inf")]),
    "extra key of the rating blend": put("tuned", "ratings", "hook", 1),
    "seconds NaN": put("seconds", "llm", float("nan")),
    "seconds a text": put("seconds", "llm", "x"),
    "log of texts": put("training_log", ["x"]),
    "template of an unknown task": put("prompts", "evil", "0" * 64),
    "template's checksum a number": put("prompts", "title", 7),
    "task without a template's checksum": drop("prompts", "next_item"),
    "shared without counts": put("shared", {"data": {}, "trained_on": "x"}),
}


@pytest.mark.parametrize("name", SETTINGS_CHANGES)
def test_settings(copy, name):
    edit_json(copy, SETTINGS, SETTINGS_CHANGES[name])
    message = refused(copy)
    assert str(copy) in message or "exit_layer" in message  # that is said of the model


@pytest.mark.parametrize(
    "text", ["", "{", DEEP, '{"a":' * 50_000, "NaN", "\ufeff{}", '{"version": ' + "9" * 100_000 + "}"]
)
def test_settings_that_are_not_a_json_object(copy, text):
    edit_text(copy, SETTINGS, lambda _: text)
    assert SETTINGS in refused(copy)


def first_item(**changes):
    """Return what changes the first line of a catalog."""

    def change(text):
        first, rest = text.split("\n", 1)
        return json.dumps(json.loads(first) | changes) + "\n" + rest

    return change


CATALOGS = {
    "empty": lambda text: "",
    "no JSON": lambda text: "x" + text,
    "nested deeply": lambda text: DEEP + "\n" + text,
    "one item less": lambda text: text.split("\n", 1)[1],
    "one item more": lambda text: text + json.dumps({"id": "new", "title": "T", "attributes": {}, "text": ""}) + "\n",
    "an id twice": first_item(id="2"),
    "id a number": first_item(id=7),
    "id empty": first_item(id=""),
    "id a control character": first_item(id="\x1b[2J" * 200),
    "id half a surrogate": first_item(id="\ud800"),
    "title a number": first_item(title=1979),
    "text a list": first_item(text=["x"]),
    "attributes a list": first_item(attributes=[1]),
    "other fields": first_item(attributes={"evil": 1}),
    "attribute an object": first_item(attributes={"genre": {"a": 1}, "year": 1995}),
    "attribute a huge number": first_item(attributes={"genre": ["x"], "year": HUGE}),
    "attribute infinite": first_item(attributes={"genre": ["x"], "year": float("inf")}),
    "labels of numbers": first_item(attributes={"genre": [1], "year": 1995}),
}


@pytest.mark.parametrize("name", CATALOGS)
def test_catalog(copy, name):
    edit_text(copy, CATALOG, CATALOGS[name])
    refused(copy)


def setting(name, value):
    """Return what replaces a tensor: by a value of its own kind and shape, or by what a function makes of it."""
    return lambda arrays: arrays.update({name: value(arrays[name]) if callable(value) else value})


def without(name):
    return lambda arrays: arrays.pop(name)


def first(value):
    """Return what sets the first number of a tensor."""

    def change(tensor):
        changed = tensor.clone()
        changed.view(-1)[0] = value
        return changed

    return change


def words(content):
    return torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)


NAN, INF = float("nan"), float("inf")
ARRAYS = [
    *(
        (file, what, change)
        for file in (HISTORIES, TRAINED_ON)
        for what, change in {
            "offsets reversed": setting("offsets", lambda t: t.flip(0)),
            "offsets fall": setting("offsets", lambda t: torch.cat([t[:1], t[2:3], t[1:2], t[3:]])),
            "offsets negative": setting("offsets", first(-1)),
            "offsets fractions": setting("offsets", lambda t: t.double()),
            "offsets short": setting("offsets", lambda t: t[:-1]),
            "rows outside": setting("rows", first(40)),
            "rows negative": setting("rows", first(-1)),
            "rows a matrix": setting("rows", lambda t: t[None]),
            "rows missing": without("rows"),
            "n_items 10^12": setting("n_items", torch.tensor([10**12])),
            "n_items 0": setting("n_items", torch.tensor([0])),
            "n_items 41": setting("n_items", torch.tensor([41])),
            "users twice": setting("users", words(["1"] * 30)),
            "users numbers": setting("users", words(list(range(30)))),
            "users an object": setting("users", words({"1": 2})),
            "users nested": setting("users", torch.frombuffer(bytearray(DEEP.encode()), dtype=torch.uint8)),
            "ratings infinite": setting("ratings", first(INF)),
            "ratings 1e38": setting("ratings", first(1e38)),
            "ratings short": setting("ratings", lambda t: t[:-1]),
            "times huge": setting("times", first(2**63 - 1)),
            "times fractions": setting("times", lambda t: t.double()),
            "times not in order": setting("times", lambda t: t.flip(0)),
        }.items()
    ),
    (CODES, "twice", setting("codes", lambda t: t * 0)),
    (CODES, "outside", setting("codes", first(999))),
    (CODES, "gaps", setting("codes", lambda t: t * 0 - 1)),
    (CODES, "fewer items", setting("codes", lambda t: t[:-1])),
    (CODES, "a vector", setting("codes", lambda t: t[:, 0])),
    (CODES, "names numbers", setting("names", words([1, 2]))),
    (CODES, "names of too many", setting("names", words([f"<{n}>" for n in range(100_000)]))),
    (CODES, "names twice", setting("names", words(["<item_0>"] * 40))),
    (CODES, "codes missing", without("codes")),
    (KNOWLEDGE, "names a list", setting("names", words([1]))),
    (KNOWLEDGE, "triples outside", setting("triples", first(40))),
    (KNOWLEDGE, "triples negative", setting("triples", first(-1))),
    (KNOWLEDGE, "triples of two", setting("triples", lambda t: t[:, :2])),
    (KNOWLEDGE, "n_items 10^12", setting("n_items", torch.tensor([10**12]))),
    (KNOWLEDGE, "nothing", lambda arrays: arrays.clear()),
    *((EASE, str(value), setting("lower", first(value))) for value in (NAN, INF, 1e38)),
    (EASE, "whole numbers", setting("lower", lambda t: t.long())),
    (EASE, "no triangle", setting("lower", lambda t: t[:-1])),
    (EASE, "other items", lambda a: a.update(lower=a["lower"][:-39], diagonal=a["diagonal"][:-1])),
    (EASE, "a matrix", setting("lower", lambda t: t[None])),
    (EASE, "a number", setting("lower", torch.tensor(1.0))),
    (EASE, "diagonal 0", setting("diagonal", first(0.0))),
    (EASE, "diagonal negative", setting("diagonal", first(-1.0))),
    (EASE, "diagonal missing", without("diagonal")),
    (EASE, "missing", without("lower")),
    (POPULARITY, "NaN", setting("log_counts", first(NAN))),
    (POPULARITY, "a matrix", setting("log_counts", lambda t: t[None])),
    (POPULARITY, "short", setting("log_counts", lambda t: t[:-1])),
    (POPULARITY, "truth values", setting("log_counts", lambda t: t > 0)),
    (RULES, "columns outside", setting("rules.indices", first(40))),
    (RULES, "columns negative", setting("rules.indices", first(-1))),
    (RULES, "rows fall", setting("rules.indptr", lambda t: t.flip(0))),
    (RULES, "NaN", setting("rules.data", first(NAN))),
    (RULES, "1e38", setting("rules.data", first(1e38))),
    (RULES, "data short", setting("rules.data", lambda t: t[:-1])),
    (RULES, "data missing", without("rules.data")),
    (SVD, "3e38", setting("item_factors", first(3e38))),
    (SVD, "NaN", setting("item_bias", first(NAN))),
    (SVD, "fewer factors", setting("item_factors", lambda t: t[:, :-1])),
    (SVD, "fewer items", setting("item_bias", lambda t: t[:-1])),
    (SVD, "users of another number", setting("users", words(["1"]))),
    (SVD, "user factors short", setting("user_factors", lambda t: t[:-1])),
    (SVD, "user bias a matrix", setting("user_bias", lambda t: t[None])),
    (SVD, "rated items short", setting("rated_items", lambda t: t[:-1])),
    (SVD, "rated items numbers", setting("rated_items", lambda t: t.double())),
    *((WEIGHTS, str(value), setting("code_embedding", first(value))) for value in (NAN, INF, 1e38)),
    (WEIGHTS, "1e308", setting("code_embedding", lambda t: first(1e308)(t.double()))),
    (WEIGHTS, "whole numbers", setting("code_embedding", lambda t: t.long())),
    (WEIGHTS, "half precision", setting("code_embedding", lambda t: t.half())),
    (WEIGHTS, "transposed", setting("code_embedding", lambda t: t.T)),
    (WEIGHTS, "missing", without("code_embedding")),
    (WEIGHTS, "another array", setting("base.model.embed_tokens.weight", torch.zeros(259, 64))),
]  # fmt: skip


@pytest.mark.parametrize(("file", "what", "change"), ARRAYS, ids=[f"{file}-{what}" for file, what, _ in ARRAYS])
def test_arrays(copy, file, what, change):
    edit_arrays(copy, file, change)
    message = refused(copy)
    assert str(copy) in message
    assert file in message or "weights" in message


@pytest.mark.parametrize("file", [HISTORIES, CODES, EASE, WEIGHTS])
@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}", b"PK\3\4"])
def test_invalid_safetensors(copy, file, content):
    (copy / file).write_bytes(content)
    relist(copy, file)
    refused(copy)


def test_an_array_that_says_it_is_huge(copy):
    header = json.dumps({"weights": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4]}}).encode()
    (copy / EASE).write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    relist(copy, EASE)
    refused(copy)


COUNTS_CHANGES = {
    "interactions negative": setting("interactions", first(-1)),
    "interactions short": setting("interactions", lambda t: t[:-1]),
    "figures NaN": setting("rating_figures", first(NAN)),
    "offsets fall": setting("followers.offsets", lambda t: t.flip(0)),
    "anchors outside": setting("followers.anchors", lambda t: t + 40 if len(t) else torch.tensor([40])),
    "missing": without("interactions"),
    "totals of three": setting("totals", torch.zeros(3)),
}


@pytest.mark.parametrize("name", COUNTS_CHANGES)
def test_counts(unshared, tmp_path, name):
    folder = shutil.copytree(unshared, tmp_path / "movies")
    edit_arrays(folder, COUNTS, COUNTS_CHANGES[name])
    refused(folder)


@pytest.mark.parametrize(
    "summary",
    [
        {},
        {"users": "30"},
        {"users": -1},
        {"users": HUGE},
        {"interactions": NAN},
        {"ratings": True},
        {"since": 5},
        {"since": "x" * 10_000},
        {"since": "2024-13-77"},
        {"until": "\x1b[2J"},
        {"evil": 1},
    ],
)
def test_summary_of_data(unshared, tmp_path, summary):
    folder = shutil.copytree(unshared, tmp_path / "movies")

    def change(content):
        content["shared"]["data"] = content["shared"]["data"] | summary if summary else {}

    edit_json(folder, SETTINGS, change)
    refused(folder)


HOSTILE = {
    "other words": lambda text: "Other words. " + text,
    "no template": lambda text: text + "{% if",
    "a loop": lambda text: text + "{% for a in range(99999999) %}{% endfor %}",
    "a call": lambda text: text + "{{ ''.__class__.__mro__ }}",
    "very long": lambda text: text + "x" * 2_000_000,
    "half a letter": lambda text: text + "\ud800",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("honest", [True, False])
def test_templates(copy, name, honest):
    """Also where the settings list the changed template's own checksum."""
    edit_text(copy, "prompts/next_item.user.jinja", HOSTILE[name])
    if honest:
        refused(copy)
        return
    source = (copy / "prompts" / "next_item.user.jinja").read_bytes()
    edit_json(copy, SETTINGS, put("prompts", "next_item", sha256_of(source)))
    refused(copy)


def unlist(name):
    def change(content):
        content["files"] = {file: entry for file, entry in content["files"].items() if not file.startswith(name)}

    return change


@pytest.mark.parametrize(
    "name",
    [
        "",
        SETTINGS,
        CATALOG,
        HISTORIES,
        TRAINED_ON,
        WEIGHTS,
        CODES,
        EASE,
        SVD,
        "members",
        "prompts",
        "prompts/next_item",
    ],
)
def test_entries_that_are_taken_out_of_the_manifest(copy, name):
    content = json.loads((copy / MANIFEST).read_text())
    before = copies.deepcopy(content)
    unlist(name)(content)
    assert content != before
    (copy / MANIFEST).write_text(json.dumps(content))
    refused(copy)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    "name",
    ["prompts/fits.evil.jinja", "prompts/evil.user.jinja", "prompts/x.py", "members/evil.safetensors",
     "members/a/b.safetensors", "members/ease.ratings.safetensors"],
)  # fmt: skip
def test_files_that_are_added(copy, name, listed):
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"x" if name.endswith("jinja") else (copy / EASE).read_bytes())
    if listed:
        relist(copy, name)
    refused(copy)


def test_the_folder_as_it_was_loads(copy, saved, tiny_recommender):
    edit_json(copy, SETTINGS, lambda content: None)
    edit_arrays(copy, EASE, lambda arrays: None)
    relist(copy)
    assert_same(Recommender.from_pretrained(copy).recommend("17"), tiny_recommender.recommend("17"))
