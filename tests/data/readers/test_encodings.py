"""Encodings: each file has its own, found out where it is not said, and named."""

import pytest

from genre_gen.data.readers import load_data
from genre_gen.data.readers.encodings import decode
from genre_gen.errors import DataError
from tests.data.readers.reader_files import HEADER, ITEMS, MOVIES, domain, load, recbole, write

LOG = HEADER + "1,1,5,10\n1,2,4,20\n"
TITLES = {
    "cp1252": ["“Quoted” – 5 €"],
    "latin-1": ["Les Misérables", "Première neige", "Señorita", "Smørrebrød på dansk"],
    "cp1250": ["Příliš žluťoučký kůň", "Zażółć gęślą jaźń"],
    "cp1251": ["Война и мир"],
    "koi8-r": ["Мастер и Маргарита"],
    "cp1253": ["Ο Αλέξης Ζορμπάς"],
    "cp1254": ["Kırmızı Pazartesi", "İnce Memed"],
    "cp1255": ["מלחמה ושלום"],
    "cp1256": ["الحرب والسلام"],
    "shift_jis": ["千と千尋の神隠し", "ドラえもん"],
    "euc_jp": ["となりのトトロ"],
    "gb18030": ["红楼梦", "三国演义"],
    "big5": ["紅樓夢", "三國演義"],
    "euc_kr": ["기생충", "살인의 추억"],
    "utf-16": ["Käse", "千と千尋"],
    "utf-16-le": ["Käse"],
    "utf-16-be": ["Käse"],
    "utf-32": ["Käse"],
    "utf-8-sig": ["Käse"],
    "mac_roman": ["Les Misérables"],
}


@pytest.mark.parametrize("encoding", TITLES)
def test_an_encoding_is_found_from_a_few_titles(tmp_path, encoding):
    text = "id,title,genre\n" + "".join(f"{row},{title},Drama|Crime\n" for row, title in enumerate(TITLES[encoding]))
    (tmp_path / "x.csv").write_bytes(text.encode(encoding))
    found = decode(tmp_path / "x.csv")
    assert found.content == text
    assert len(found.notes) == (not encoding.startswith("utf-8"))


def test_each_file_has_its_own_encoding_and_one_line_names_it(tmp_path):
    data = load(tmp_path, LOG.replace("\n1", "\nJürgen").encode("cp1252"), ITEMS.replace("A", "Ä").encode())
    assert (data.catalog[0].title, data.interactions.users) == ("Ä (2000)", ("Jürgen",))
    assert [str(note) for note in data.report] == [
        f"{tmp_path / 'set' / 'interactions.csv'}: not UTF-8: 2 read as cp1252, the first in line 2 ('Jürgen,1,5,10')"
    ]


def test_the_encoding_of_a_file_can_be_set(tmp_path):
    items = ITEMS.replace("A", "Ä").encode("latin-1")
    given = {"data__items_file": {"encoding": "cp1251"}}
    assert load(tmp_path, LOG, items, **given).catalog[0].title == "Д (2000)"
    assert load(tmp_path, LOG, items, data__encoding="cp1251").catalog[0].title == "Д (2000)"
    log = LOG.replace("\n1", "\nÄ").encode("latin-1")
    data = load(tmp_path, log, items, data__encoding="latin-1", **given)
    assert (data.catalog[0].title, data.interactions.users, len(data.report)) == ("Д (2000)", ("Ä",), 0)


def test_other_readers_find_it_too(tmp_path):
    folder = recbole(tmp_path)
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().decode().encode("utf-16"))
    data = load_data(MOVIES, folder)
    assert data.catalog[0].title == "Misérables, Les (1995)"
    assert [note.action for note in data.report] == ["read as utf-16", "read as utf-16"]
    write(tmp_path / "pair", B__inter__json='{"Ä": [5]}'.encode("latin-1"), B__item__json='{"5": {"title": "Ö"}}')
    data = load_data(domain("shop", {}), tmp_path / "pair")
    assert (data.interactions.users, data.catalog[0].title) == (("Ä",), "Ö")
    assert len(data.report) == 1


@pytest.mark.parametrize(
    ("items", "settings", "message"),
    [
        (
            ITEMS.replace("A", "\xfc").encode("latin-1") + b"3,K\xe4\x81se,Z,2002\n",
            {},
            "line 4: byte 0x81 is not cp1252; correct the line, save the",
        ),
        (
            ITEMS.replace("A", "Ä").replace("B", "Ö").encode() + b"3,K\xe4se,,\n",
            {},
            "line 4: byte 0xe4 is not UTF-8, as its",
        ),
        (b"\xff\xfe" + ITEMS.encode("utf-16-le") + b"\0", {}, "line .*: byte 0x00 is not utf-16"),
        (ITEMS.encode("latin-1") + b"3,\xe4,,\n", {"data__encoding": "utf-8"}, "line 4: byte 0xe4 is not utf-8"),
    ],
)
def test_bytes_that_no_encoding_has_are_named_with_their_line(tmp_path, items, settings, message):
    with pytest.raises(DataError, match=rf"items\.csv, {message}"):
        load(tmp_path, LOG, items, **settings)
