"""Tables for notebooks: what is in them is escaped, and they bring nothing from elsewhere."""

from html.parser import HTMLParser

import pytest

from genre_gen.data.html_table import html_bar, html_block, html_table, html_text

EVIL = '<script>alert("1")</script><img src="//x" onerror=1>\x1b[2J\u202e & $x$'


class Page(HTMLParser):
    """Notes tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = set(), set(), "", []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize(
    "text",
    [
        html_block(html_table([EVIL, "b"], [[EVIL, 1], ["x", EVIL]], caption=EVIL), html_text(EVIL, small=True)),
        html_block(html_bar(0.5)),
    ],
)
def test_only_tables_and_text_come_out(text):
    page = Page(text)
    assert page.tags <= {"div", "p", "table", "caption", "thead", "tbody", "tr", "th", "td", "span"}
    assert page.attributes <= {"style", "class"}
    assert "url(" not in text
    for character in "\x1b\u202e":
        assert character not in text
    if "alert" in text:
        assert page.text.count('<script>alert("1")</script><img src="//x" onerror=1>') == text.count("alert")


def test_formulas_are_not_typeset():
    assert "mathjax_ignore" in html_block(html_text("$5 and $6"))


def test_numbers_stand_to_the_right_and_a_header_of_nothing_is_left_out():
    table = html_table(["name", "n"], [["a", 1]], numbers=[1])
    assert table.count("text-align:right") == 2
    assert "<thead>" not in html_table(["", ""], [["a", 1]])
