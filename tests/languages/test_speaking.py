"""A recommender trained in English speaks Chinese without training again; one trained in Chinese does altogether."""

import json
import re
import shutil
import sys

import pytest
from answers import assert_same

from genre_gen import Domain, Recommender
from genre_gen.cli import main as cli
from genre_gen.errors import CheckpointError, ConfigError, PromptError
from genre_gen.folders.writing import write_folder
from genre_gen.reporting.formatting import picks_text
from genre_gen.reporting.html_report import page
from genre_gen.rules.settings import Rules
from tests.eval.conftest import entry, run  # noqa: F401 - fixtures

CHINESE = re.compile("[\u4e00-\u9fff]")


@pytest.fixture
def speaking(saved) -> Recommender:
    recommender = Recommender.from_pretrained(saved)
    recommender.speak("zh")
    return recommender


@pytest.fixture(scope="module")
def trained(tiny_domain, dataset, tmp_path_factory):
    """Return the folder of a recommender that was trained with Chinese prompts."""
    domain = tiny_domain.changed({"language": "zh", "training.epochs": 1})
    folder = tmp_path_factory.mktemp("runs") / "movies"
    Recommender(domain).fit(dataset.leave_one_out()).save_pretrained(folder)
    return folder


def test_picks_stay_and_their_reasons_are_chinese(tiny_recommender, speaking):
    english, chinese = (each.recommend("17", n=5, explain=True) for each in (tiny_recommender, speaking))
    assert_same(english, chinese)
    assert [pick.explanation.facts for pick in english] == [pick.explanation.facts for pick in chinese]
    assert all(CHINESE.search(pick.explanation.text) for pick in chinese)
    assert not any(CHINESE.search(pick.explanation.text) for pick in english)
    assert speaking.state.book.sources == tiny_recommender.state.book.sources
    assert speaking.intent("17") == tiny_recommender.intent("17")


def test_all_that_is_told_is_chinese(speaking):
    first, other = (pick.item.title for pick in speaking.recommend("17", n=2))
    told = [speaking.profile("17"), speaking.compare("17", first, other), speaking.what_if("17", first)]
    for each in told:
        assert CHINESE.search(each.text)
        assert "。 " not in each.text
    picks = speaking.recommend("17", n=3, query="九十年代的喜剧，不要恐怖片", explain=True)
    assert picks.parsed_query.where == "genre != 'Horror' and 1990 <= year < 2000"
    lines = picks_text(picks, speaking.state.language).splitlines()
    assert lines[0] == "理解为：只要 genre != 'Horror' and 1990 <= year < 2000；偏好：类型 喜剧"
    assert "年份 " in lines[1]
    assert "得分 " in lines[1]


def test_the_language_is_saved_and_can_be_taken_back(speaking, tiny_recommender, tmp_path):
    speaking.save_pretrained(tmp_path / "zh")
    again = Recommender.from_pretrained(tmp_path / "zh")
    assert (again.domain.language, again.domain.spoken) == ("en", "zh")
    assert again.explain("17", "Alien").text == speaking.explain("17", "Alien").text
    again.speak("en")
    assert again.state.wording is None
    assert again.explain("17", "Alien").text == tiny_recommender.explain("17", "Alien").text


def test_an_unknown_language_changes_nothing(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recommender = Recommender.from_pretrained(saved)
    state = recommender.state
    with pytest.raises(ConfigError, match="no language 'xx'; there are: en, zh"):
        recommender.speak("xx")
    assert recommender.state is state


def test_a_language_of_ones_own_goes_with_the_saved_folder(saved, tmp_path, monkeypatch):
    from genre_gen.languages.language import FOLDER
    from genre_gen.prompting.templates import find_templates
    from tests.languages.test_languages import PROMPTS

    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts" / FOLDER).mkdir(parents=True)
    tables = (PROMPTS / FOLDER / "en.toml").read_text(encoding="utf-8").replace('joint = " "', 'joint = " / "')
    (tmp_path / "prompts" / FOLDER / "xx.toml").write_text(tables, encoding="utf-8")
    own = tmp_path / "prompts" / "movies" / "xx"
    own.mkdir(parents=True)
    recommender = Recommender.from_pretrained(saved)
    with pytest.raises(PromptError, match="no templates"):
        recommender.speak("xx")
    for name, file in find_templates([PROMPTS / "movies", PROMPTS / "generic"]).items():
        (own / name).write_bytes(file.read_bytes())
    recommender.speak("xx")
    recommender.save_pretrained(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert ". / " in Recommender.from_pretrained(tmp_path / "run").profile("17").text


@pytest.fixture
def chinese_folder(speaking, tmp_path):
    """Return a saved recommender that speaks Chinese."""
    speaking.save_pretrained(tmp_path / "chinese")
    return tmp_path / "chinese"


def test_changed_wording_is_refused(chinese_folder):
    file = chinese_folder / "wording" / "profile.assistant.jinja"
    file.write_text(file.read_text(encoding="utf-8").replace("你", "您"), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"profile\.assistant\.jinja: differs from its checksum"):
        Recommender.from_pretrained(chinese_folder)


@pytest.mark.parametrize("name", ["wording/new.jinja", "prompts/_languages/zh.toml", "prompts/zh/words.jinja"])
def test_added_templates_and_tables_are_refused(chinese_folder, name):
    (chinese_folder / name).parent.mkdir(exist_ok=True)
    (chinese_folder / name).write_text("")
    with pytest.raises(CheckpointError, match=r"is not listed in manifest\.json"):
        Recommender.from_pretrained(chinese_folder)


def test_tables_outside_the_verified_files_are_ignored(chinese_folder, speaking, tmp_path, monkeypatch):
    (chinese_folder / "_languages").mkdir()
    (chinese_folder / "_languages" / "zh.toml").write_text("nothing")
    monkeypatch.chdir(tmp_path)
    loaded = Recommender.from_pretrained(chinese_folder)
    (chinese_folder / "prompts" / "_languages").mkdir()
    (chinese_folder / "prompts" / "_languages" / "zh.toml").write_text("nothing")
    assert loaded.profile("17") == speaking.profile("17")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda folder: (folder / "wording" / "explain_pinned.assistant.jinja").unlink(), PromptError),
        (lambda folder: shutil.rmtree(folder / "wording"), PromptError),
        (lambda folder: (folder / "prompts" / "_languages").mkdir(), None),
    ],
)
def test_incomplete_wording_is_refused(chinese_folder, tmp_path, change, problem):
    def fill(target):
        shutil.copytree(chinese_folder, target, dirs_exist_ok=True)
        (target / "manifest.json").unlink()
        change(target)
        if problem is None:
            (target / "prompts" / "_languages" / "zh.json").write_text('{"name": 1}')

    write_folder(tmp_path / "other", fill, "recommender")
    with pytest.raises(problem or CheckpointError, match=r"explain_pinned|no templates|zh\.json: is invalid: name"):
        Recommender.from_pretrained(tmp_path / "other")


def test_a_folder_without_histories_keeps_its_language(speaking, tmp_path):
    speaking.save_pretrained(tmp_path / "shared", histories=False)
    shared = Recommender.from_pretrained(tmp_path / "shared")
    watched = ["Toy Story (1995)", "Alien (1979)"]
    assert CHINESE.search(shared.profile(watched).text)
    assert not CHINESE.search((tmp_path / "shared" / "README.md").read_text(encoding="utf-8"))


def test_pins_are_explained_in_chinese(speaking):
    picks = speaking.recommend("17", n=2, explain=True, rules=Rules(pins={"Alien (1979)": 1}))
    assert picks[0].explanation.text == "《Alien (1979)》由编辑安排在这个位置。"
    assert "固定位置" in picks_text(picks, speaking.state.language).splitlines()[0]


def test_speaking_the_saved_language_again_keeps_the_saved_wording(chinese_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = Recommender.from_pretrained(chinese_folder)
    state = loaded.state
    loaded.speak("zh")
    assert loaded.state is state


@pytest.mark.parametrize("style", ["template", "llm", "free"])
def test_explanations_in_chinese_are_true_and_the_checker_notices_corrupted_ones(trained, style, tmp_path, run, entry):  # noqa: F811
    from eval.explanations import truth

    count = 6 if style == "template" else 2
    assert run(truth, trained, "--users", count, "-n", 2, "--style", style, "--out", tmp_path) == 0
    content = entry(tmp_path / "explanation_truth.json")
    assert content["true"] == content["explanations"] == 2 * count
    caught, made = (sum(counts) for counts in zip(*content["noticed"].values(), strict=True))
    assert caught > 0.9 * made > 2 * count - 1


def test_every_users_explanations_are_true_in_chinese(speaking):
    from eval.explanations.truth import checker_of, explained, measured

    said = list(explained(speaking.state, 1000, 3))
    assert len(said) > 60
    result = measured(speaking.state, said)
    assert result["untrue"] == []
    assert all(CHINESE.search(each.explanation.text) for each in said)
    assert checker_of(speaking.state).language.code == "zh"


def test_prompts_and_answers_of_a_chinese_training_are_chinese(trained):
    recommender = Recommender.from_pretrained(trained)
    assert recommender.domain.language == "zh"
    prompt = recommender.state.book.render("next_item", history=(), domain="movies")
    assert prompt.messages[0].text == "你为用户推荐电影。"
    assert set(recommender.intent("17").labels) == set(recommender.state.labels.names)
    assert 0 <= recommender.fits("17", "Alien").probability <= 1
    recommender.speak("en")
    assert not CHINESE.search(recommender.explain("17", "Alien").text)


def test_changed_templates_are_still_refused(trained, tmp_path):
    import shutil

    folder = shutil.copytree(trained, tmp_path / "run")
    file = folder / "prompts" / "next_item.system.jinja"
    file.write_text("推荐点别的。", encoding="utf-8")
    with pytest.raises(CheckpointError):
        Recommender.from_pretrained(folder)


def test_the_page_is_chinese(speaking):
    html = page(speaking, ["17", "3"], n=2)
    assert '<html lang="zh">' in html
    text = re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL)
    assert "给 2 位用户的推荐" in text
    assert "动画、儿童、喜剧 · 1995" in text
    own = re.sub(r"[A-Z][\w'.,:&é!-]*(?: [A-Za-z][\w'.,:&é!-]*)*(?=[ ,]*\(\d{4}\))", "", text)  # titles
    assert not re.search(r"\b(Recommended|Without|score|liked|items|genre|year|user)\b", own.split("模型看到了什么")[0])
    assert all(f'<mark class="{kind}">' in html for kind in ("item", "number"))


def test_the_command_line_speaks(saved, monkeypatch, capsys):
    def genre(*arguments):
        monkeypatch.setattr(sys, "argv", ["genre-gen", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capsys.readouterr()

    asked = ("movies", "--model", saved, "--user", "17", "--language", "zh")
    code, out, _ = genre("recommend", *asked, "-n", 2, "--explain", "--query", "科幻片")
    assert code == 0
    assert out.splitlines()[0] == "理解为：偏好：类型 科幻（科幻片）"
    code, out, _ = genre("explain", *asked, "--item", "Alien", "--json")
    assert CHINESE.search(json.loads(out)["text"])
    code, _, err = genre("recommend", *asked[:-1], "xx")
    assert code != 0
    assert "no language 'xx'; there are: en, zh" in err


def test_a_setting_makes_a_trained_recommender_speak(tiny_domain, dataset):
    domain = tiny_domain.changed({"explain.language": "zh", "training.epochs": 1})
    recommender = Recommender(domain).fit(dataset.leave_one_out())
    assert CHINESE.search(recommender.explain("17", "Alien").text)
    assert "You recommend movies" in recommender.state.book.render("next_item", history=()).messages[0].text
    assert Domain.load("movies").changed({"explain.language": "zh"}).spoken == "zh"
