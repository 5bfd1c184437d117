"""Shapes of games, music and news: Steam, Last.fm, MIND; and tables in six encodings."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

from eval.own_data.shapes import Refusal, Shape, at, counted, delimited, plain, rewrite, written_by_hand
from eval.own_data.world import World, world


def steam() -> Shape:
    """Kaggle's Steam: no header; a purchase and a play are two lines, and the fourth value is 1 or hours."""
    own = world(23)
    titles = {item.number: item.title for item in own.items} | {3: "Counter-Strike, Condition Zero"}
    log = [
        (151_600_000 + event.user, titles[event.item], act, value, 0)
        for event in own.by_user()
        for act, value in (("purchase", "1.0"), *((("play", f"{event.rating * 13}.0"),) if event.rating > 3 else ()))
    ]
    right = counted(
        own.events,
        lambda user: f"{151_600_000 + user}",
        titles.__getitem__,
        len({event.item for event in own.events}),
        {"user": "user_id", "item": "game", "title": "game"},
        said=("event play +behavior", "event purchase +behavior .*measured"),
    )

    def with_header(folder: Path) -> tuple[str, ...]:
        rewrite(folder, "steam-200k.csv", lambda text: f"user_id,game,behavior,value,zero\n{text}")
        return "--interactions", "steam-200k.csv"

    files = {"steam-200k.csv": delimited(log).encode()}
    refusal = Refusal("line 1.*names of columns; put a line", with_header)
    return Shape("steam", files, ("--interactions", "steam-200k.csv"), right, refusal)


def steam_lines() -> Shape:
    """Steam of UCSD: a Python object a line, with ``u`` before texts."""
    own = world(24)
    games = "".join(
        f"{{u'publisher': u'{item.makers[0]}', u'genres': [{', '.join(f'u{kind!r}' for kind in item.kinds)}], "
        f"u'app_name': {item.title!r}, u'release_date': u'{item.year}-01-04', u'early_access': False, "
        f"u'id': u'{761_140 + item.number}'}}\n"
        for item in own.items
    )
    reviews = "".join(
        f"{{u'username': u'player {event.user}', u'hours': {event.rating * 7.5}, "
        f"u'product_id': u'{761_140 + event.item}', u'page_order': {event.user % 10}, "
        f"u'date': u'{at(event.time, '%Y-%m-%d')}', u'text': u\"It's good\", u'page': 1}}\n"
        for event in own.events
    )
    right = counted(
        own.events,
        lambda user: f"player {user}",
        lambda item: f"{761_140 + item}",
        len(own.items),
        {
            "user": "username", "item": "product_id", "item_id": "id", "time": "date", "title": "app_name",
        },
        titles={f"{761_140 + n}": own.items[n].title for n in (0, 7, 30)},
        labels={"761141": own.items[1].kinds},
    )  # fmt: skip
    files = {"steam_games.json": games.encode(), "steam_reviews.json": reviews.encode()}
    options = ("--items", "steam_games.json", "--interactions", "steam_reviews.json")
    return Shape("steam-lines", files, options, right)


def lastfm() -> Shape:
    """HetRec's Last.fm: ``.dat`` files with tabs and a header; weights are plays, and there are no times."""
    own = world(25)
    artists = [
        ("id", "name", "url", "pictureURL"),
        *(
            (
                item.number + 1,
                item.title,
                f"http://music.example.org/{item.number}",
                f"http://images.example.org/{item.number}.jpg",
            )
            for item in own.items
        ),
    ]
    log = sorted(own.events, key=lambda event: (event.user, event.item))
    lines = [
        ("userID", "artistID", "weight"),
        *((event.user + 2, event.item + 1, 1000 * event.rating + event.item) for event in log),
    ]
    right = counted(
        log,
        lambda user: f"{user + 2}",
        lambda item: f"{item + 1}",
        len(own.items),
        {"user": "userID", "item": "artistID", "item_id": "id", "title": "name"},
        titles={f"{n + 1}": own.items[n].title for n in (0, 7, 30)},
        said=("(?i)ascending|sorted by|by item",),
        unsaid=("field url",),
    )
    files = {"artists.dat": plain(artists, "\t").encode(), "user_artists.dat": plain(lines, "\t").encode()}
    return Shape("lastfm", files, ("--items", "artists.dat", "--interactions", "user_artists.dat"), right)


def lastfm_360k() -> Shape:
    """Last.fm 360K: no header, artists with a quote in their names, some without an id."""
    own = world(26)
    titles = {item.number: item.title.lower() for item in own.items} | {1: '"weird" amber', 3: 'broken "letters'}
    artist = {n: f"{n:08x}-3905-4f3a-97e2-8b341527f805" for n in titles}
    log = own.by_user()
    lines = [
        (f"{event.user:040x}", artist[event.item], titles[event.item], event.rating * 211 + event.item) for event in log
    ]
    lines[5:5] = [(f"{user:040x}", "", "an unknown artist", 5) for user in range(12)]
    right = counted(
        log,
        lambda user: f"{user:040x}",
        artist.__getitem__,
        len({event.item for event in log}),
        {"user": "user_id", "item": "artist_id", "title": "artist_name"},
        titles={artist[n]: titles[n] for n in (1, 3, 30)},
        said=("no item: 12",),
    )

    def with_header(folder: Path) -> tuple[str, ...]:
        rewrite(folder, "plays.tsv", lambda text: f"user_id\tartist_id\tartist_name\tplays\n{text}")
        return "--interactions", "plays.tsv"

    refusal = Refusal("line 1.*names of columns; put a line", with_header)
    return Shape(
        "lastfm-360k", {"plays.tsv": plain(lines, "\t").encode()}, ("--interactions", "plays.tsv"), right, refusal
    )


def mind() -> Shape:
    """MIND: impressions and clicks in one column, and no header."""
    own = world(27)
    news = [
        (
            f"N{item.number}", item.kinds[0].lower(), "general", item.title, item.text, "https://news.example.org/1",
            "[]", "[]",
        )
        for item in own.items
    ]  # fmt: skip
    lines: list[tuple[object, ...]] = []
    for user in range(own.users):
        events = [event for event in own.events if event.user == user]
        history = " ".join(f"N{event.item}" for event in events[:2])
        for event in events[2:]:
            other = next(item.number for item in own.items if item.number not in {event.item for event in events})
            clicked = f"N{other}-0 N{event.item}-1"
            lines.append((len(lines) + 1, f"U{user}", at(event.time, "%m/%d/%Y %I:%M:%S %p"), history, clicked))
    right = counted(
        own.events,
        lambda user: f"U{user}",
        lambda item: f"N{item}",
        len(own.items),
        None,
        titles={f"N{n}": own.items[n].title for n in (0, 7, 30)},
        labels={"N1": (own.items[1].kinds[0].lower(),)},
    )
    files = {"behaviors.tsv": plain(lines, "\t").encode(), "news.tsv": plain(news, "\t").encode()}
    toml = (
        'name = "mind"\nnoun = "article"\n[data]\npath = "../.."\nreader = "mind"\n[fields.category]\ntype = "list"\n'
    )
    refusal = Refusal("(?i)mind", written_by_hand("mind", toml))
    return Shape("mind", files, ("--items", "news.tsv", "--interactions", "behaviors.tsv"), right, refusal)


# Encodings

_WORDS = {
    "utf-8-sig": ("Der große Garten", "Crème brûlée", "El niño", "Æbleskiver"),
    "utf-16": ("静かな港", "Тихая гавань", "Der große Garten", "שלום"),
    "cp1252": ("“Quoted” – 5 €", "Crème brûlée", "El niño", "Œuvre"),
    "shift_jis": ("静かな港の物語", "ソラと海の歌", "東京の夜、雨", "表計算の本"),
    "gb18030": ("安静的港口", "最后的花园", "北方的河，夜", "纸上的桥"),
    "cp1251": ("Тихая гавань", "Последний сад", "Северная река, ночь", "Бумажный мост"),
}
_KINDS_OF = {
    "utf-8-sig": ("Märchen", "Krimi"),
    "utf-16": ("драма", "комедия"),
    "cp1252": ("Théâtre", "Poésie"),
    "shift_jis": ("文学", "歴史"),
    "gb18030": ("文学", "历史"),
    "cp1251": ("драма", "комедия"),
}


def encoded(encoding: str) -> Shape:
    """A table of items in an encoding, and a log in UTF-8 whose users are not ASCII."""
    own = world(28)
    words, kinds = _WORDS[encoding], _KINDS_OF[encoding]
    titles = {item.number: f"{words[item.number % 4]} {item.number}" for item in own.items}
    books = [
        ("id", "title", "genre"),
        *((f"b{item.number}", titles[item.number], kinds[item.number % 2]) for item in own.items),
    ]
    log = [
        ("user_id", "item_id", "timestamp"),
        *((f"Zoë{event.user}", f"b{event.item}", event.time) for event in own.events),
    ]
    right = counted(
        own.events,
        lambda user: f"Zoë{user}",
        lambda item: f"b{item}",
        len(own.items),
        {"user": "user_id", "item": "item_id", "item_id": "id", "time": "timestamp", "title": "title"},
        titles={f"b{n}": titles[n] for n in range(4)},
        labels={"b0": (kinds[0],), "b1": (kinds[1],)},
        said=() if encoding == "utf-8-sig" else (f"(?i){_spellings(encoding)}",),
    )
    files = {"books.csv": delimited(books).encode(encoding), "log.csv": delimited(log).encode()}
    options = ("--items", "books.csv", "--interactions", "log.csv")
    return Shape(f"encoding-{encoding.replace('_', '-')}", files, options, right)


def _spellings(encoding: str) -> str:
    """Return a pattern of an encoding's names."""
    names: Sequence[str] = {
        "cp1252": ("cp1252", "windows-1252"),
        "cp1251": ("cp1251", "windows-1251"),
        "shift_jis": ("shift.?jis", "cp932"),
        "gb18030": ("gb18030", "gbk", "gb2312"),
        "utf-16": ("utf.?16",),
    }[codecs.lookup(encoding).name.replace("shift-jis", "shift_jis")]
    return "|".join(names)


def stray_quotes() -> Shape:
    """Tables with quotes that are part of the text: in a TSV at the beginning and at the end of titles."""
    own: World = world(29)
    titles = {item.number: item.title for item in own.items}
    titles |= {0: '"Heroes', 1: "Low", 2: 'Lodger"', 3: '"Weird" Al', 10: 'The 12" Mix', 20: '"Whole"'}
    records = [
        ("id", "title", "genre"),
        *((item.number + 1, titles[item.number], item.kinds[0]) for item in own.items),
    ]
    log = [
        ("user", "item", "time"),
        *((f"u{event.user}", event.item + 1, event.time) for event in own.events),
    ]
    right = counted(
        own.events,
        lambda user: f"u{user}",
        lambda item: f"{item + 1}",
        len(own.items),
        {"user": "user", "item": "item", "item_id": "id", "time": "time", "title": "title"},
        titles={f"{n + 1}": titles[n] for n in (0, 1, 2, 3, 10)},
        labels={"1": (own.items[0].kinds[0],), "2": (own.items[1].kinds[0],)},
    )
    files = {"records.tsv": plain(records, "\t").encode(), "log.tsv": plain(log, "\t").encode()}
    return Shape("stray-quotes", files, ("--items", "records.tsv", "--interactions", "log.tsv"), right)
