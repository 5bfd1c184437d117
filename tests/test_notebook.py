"""What a notebook shows, in a real kernel: results as tables, progress as one output that is updated."""

import json
import os
from pathlib import Path

import pytest

from genre_gen import Item, Recommendation, Recommendations
from genre_gen.explain.explainer import Explanation
from tests.data.test_html_table import EVIL, Page

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parent.parent
CELLS = [
    """
    import json
    from genre_gen import Domain, Dataset, Recommender
    domain = Domain.load("DOMAIN").changed(json.loads('''SETTINGS'''))
    split = Dataset.load(domain).leave_one_out()
    recommender = Recommender(domain)
    """,
    "recommender.fit(split, progress=True);",
    "picks = recommender.recommend('17', n=3, explain=True, query='funny')\npicks",
    "picks[0]",
    "recommender.explain('17', picks[0].item.id)",
    "recommender.predict('17', picks[0].item.id)",
    "recommender.profile('17')",
    "recommender.intent('17')",
    "recommender.fits('17', picks[0].item.id)",
    "report = recommender.evaluate(split, k=5, progress=True)\nreport",
    "from genre_gen.training.progress import Stages\nwith Stages({'x': 1.0}, True).stage('x'):\n    raise KeyError",
]


class Client(nbclient.NotebookClient):
    """Notes how often a display was updated."""

    updates = 0

    def process_message(self, msg, cell, cell_index):
        self.updates += msg["msg_type"] == "update_display_data"
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module")
def cells(tiny_settings, tmp_path_factory):
    """Return the cells of a notebook that was run, each with the updates of displays that it caused."""
    home = tmp_path_factory.mktemp("notebook")
    settings = json.dumps({**tiny_settings, "training.epochs": 1})
    texts = [cell.replace("DOMAIN", str(ROOT / "catalogs" / "movies")).replace("SETTINGS", settings) for cell in CELLS]
    texts[0] = "\n".join(line.strip() for line in texts[0].splitlines())
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in texts])
    for cell in notebook.cells[-1:]:
        cell.metadata["tags"] = ["raises-exception"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(home), "JUPYTER_PLATFORM_DIRS": "1"}
    client = Client(notebook, timeout=300, resources={"metadata": {"path": str(home)}})
    with client.setup_kernel(env=environment):
        for number, cell in enumerate(notebook.cells):
            client.updates = 0
            client.execute_cell(cell, number)
            cell.metadata["updates"] = client.updates
    if keep := os.environ.get("GENRE_KEEP_NOTEBOOK"):
        nbformat.write(notebook, keep)
    return notebook.cells


def page(cell):
    """Return what a cell shows as a page."""
    return [output["data"]["text/html"] for output in cell.outputs if "text/html" in output.get("data", {})]


def test_nothing_is_said_on_the_side(cells):
    streams = [output["text"] for cell in cells for output in cell.outputs if output["output_type"] == "stream"]
    assert [text for text in streams if "near the identity" not in text] == []  # a warning about the tiny random model


@pytest.mark.parametrize("number", range(2, 9))
def test_a_result_is_a_table_and_plain_text(cells, number):
    (output,) = cells[number].outputs
    assert Page(output["data"]["text/html"]).text
    assert "<" not in output["data"]["text/plain"].split("(")[0]


def test_picks_show_titles_parts_and_reasons(cells):
    text = Page(page(cells[2])[0]).text
    for part in ("understood:", "parts of the score", "why", "(19", "+"):
        assert part in text


def test_progress_is_one_output_that_was_updated_and_ends_full(cells):
    for number in (1, 9):
        bars = [output for output in cells[number].outputs if output["output_type"] == "display_data"]
        assert len(bars) == 1
        assert cells[number].metadata["updates"] >= 2
        assert "100%" in bars[0]["data"]["text/html"]
        assert "100%" in bars[0]["data"]["text/plain"]
        assert "width:100.0%" in bars[0]["data"]["text/html"]
    assert "GENRE" in Page(page(cells[9])[-1]).text


def test_the_bar_of_a_failed_run_is_marked_as_stopped(cells):
    *shown, error = cells[-1].outputs
    assert error["output_type"] == "error"
    assert "stopped: x: 0%" in shown[0]["data"]["text/plain"]


def test_whatever_titles_and_reasons_hold_is_escaped():
    item = Item("1", EVIL, {"genre": (EVIL,), "year": 1999})
    explanation = Explanation(EVIL, (), "free", notes=(EVIL,))
    picks = Recommendations([Recommendation(1, item, 1.0, {EVIL: 1.0}, explanation)], notes=[EVIL])
    for shown in (picks, picks[0], explanation):
        text = shown._repr_html_()
        assert Page(text).tags <= {"div", "p", "table", "thead", "tbody", "tr", "th", "td"}
        assert "<script" not in text
    assert "<" not in repr(picks[0]).split("title=")[0]


def test_an_empty_list_has_its_notes():
    assert "nothing is left" in Recommendations([], ["nothing is left"])._repr_html_()
