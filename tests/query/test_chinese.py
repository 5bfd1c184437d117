"""Requests in Chinese, which has no spaces between words and puts much behind what English puts in front."""

import pytest

from genre_gen.data.catalog import Catalog, Item
from genre_gen.domain import Domain
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.query.numerals import number_of
from genre_gen.query.parser import QueryParser
from genre_gen.query.unsegmented import Segmenter
from genre_gen.query.words import Token

WORDS = {
    "分钟": ["minutes"],
    "小时": ["60 minutes"],
    "个小时": ["60 minutes"],
    "元": ["price"],
    "¥": ["price"],
    "块钱": ["price"],
    "长": ["+minutes"],
    "短": ["-minutes"],
    "便宜": ["-price"],
    "贵": ["+price"],
    "评分高": ["+score"],
}


def film(number, title, genre, year, minutes, text=""):
    values = {"genre": genre, "year": year, "minutes": minutes, "price": 10.0 + number, "score": 3.0 + number / 4}
    return Item(str(number), title, values, text)


CATALOG = Catalog(
    [
        film(0, "Alien (1979)", ("Horror", "Sci-Fi"), 1979, 117.0, "A crew meets something on a moon."),
        film(1, "千与千寻 (2001)", ("Animation", "Fantasy"), 2001, 125.0, "一个小女孩在神灵的浴场里工作。"),
        film(2, "Annie Hall (1977)", ("Comedy", "Romance"), 1977, 93.0),
        film(3, "Toy Story (1995)", ("Animation", "Children's", "Comedy"), 1995, 81.0),
        film(4, "英雄本色 (1986)", ("Action", "Crime", "Drama"), 1986, 95.0, "香港黑帮兄弟的故事。"),
        film(5, "Platoon (1986)", ("Drama", "War"), 1986, 120.0),
        film(6, "The Matrix (1999)", ("Action", "Sci-Fi", "Thriller"), 1999, 136.0),
        film(7, "Nothing Known", (), None, None),
    ]
)
DOMAIN = Domain.load("movies").changed(
    {
        "language": "zh",
        "fields.minutes": {"type": "number"},
        "fields.price": {"type": "number"},
        "fields.score": {"type": "number"},
        "query.words": {**Domain.load("movies").settings()["query"]["words"], **WORDS},
    }
)
LANGUAGE = DomainLanguage.of(DOMAIN)
PARSER = QueryParser(CATALOG, language=LANGUAGE)
SCI_FI, COMEDY, NO_HORROR = "类型 科幻", "类型 喜剧", "genre != 'Horror'"
SCI_FI_FILM, COMEDY_FILM, ANIMATED = "类型 科幻（科幻片）", "类型 喜剧（喜剧片）", "类型 动画（动画片）"
KIDS, OLD = "类型 儿童（孩子）", "年份 较低（老）"
ALIEN = "类似“Alien (1979)”"

# A request, its filter, its preferences, and what is not understood after "?".
REQUESTS = [
    # wishes
    ("科幻片", None, SCI_FI_FILM),
    ("我想看一部轻松的电影", None, "类型 喜剧（轻松）"),
    ("有没有适合孩子的动画片？", None, KIDS, ANIMATED),
    ("轻松一点的太空电影，适合孩子", None, "类型 喜剧（轻松）", "类型 科幻 或 含有“moon”（太空）", KIDS),
    ("科幻或者喜剧", None, SCI_FI, COMEDY),
    ("要么科幻要么喜剧", None, SCI_FI, COMEDY),
    ("既搞笑又浪漫", None, "类型 喜剧（搞笑）", "类型 爱情（浪漫）"),
    ("评分高的老片", None, "score 较高（评分高）", "年份 较低（老片）"),
    ("最新的科幻大片", None, "年份 较高（新）", SCI_FI),
    ("关于战争的电影", None, "类型 战争"),
    ("ＳＣＩ－ＦＩ电影", None, "类型 科幻（SCI FI）"),
    ("funny的科幻片", None, "类型 喜剧（funny）", SCI_FI_FILM),
    ("香港的黑帮片", None, "含有“香港”", "类型 犯罪（黑帮片）"),
    ("关于小女孩的", None, "含有“小女、女孩”（小女孩）"),
    # denials
    ("不要恐怖片", NO_HORROR),
    ("别推荐恐怖片", NO_HORROR),
    ("我讨厌恐怖片", NO_HORROR),
    ("不看恐怖片", NO_HORROR),
    ("九十年代的科幻片，不要恐怖片", "genre != 'Horror' and 1990 <= year < 2000", SCI_FI_FILM),
    ("不要恐怖片和战争片", "genre not in ['Horror', 'War']"),
    ("不要恐怖片或战争片", "genre not in ['Horror', 'War']"),
    ("不要恐怖、战争的", "genre not in ['Horror', 'War']"),
    ("不要恐怖片，喜剧片", NO_HORROR, COMEDY_FILM),
    ("不要恐怖片，不要战争片", "genre not in ['Horror', 'War']"),
    ("不要恐怖片但要喜剧片", NO_HORROR, COMEDY_FILM),
    ("恐怖片除外", NO_HORROR),
    ("想看科幻片，恐怖片就算了", NO_HORROR, SCI_FI_FILM),
    ("除了恐怖片以外都可以", NO_HORROR),
    ("除恐怖片外都行", NO_HORROR),
    ("除了恐怖片，喜剧片也行", NO_HORROR, COMEDY_FILM),
    ("不是恐怖片的科幻片", NO_HORROR, SCI_FI_FILM),
    ("没有恐怖的科幻片", NO_HORROR, SCI_FI_FILM),
    ("不恐怖的科幻片", NO_HORROR, SCI_FI_FILM),
    ("非恐怖的科幻片", NO_HORROR, SCI_FI_FILM),
    ("给孩子看的，别吓人", NO_HORROR, KIDS),
    ("不要恐怖的科幻片", "not (genre == 'Horror' and genre == 'Sci-Fi')"),
    ("少一点战争", None, "不要类型 战争"),
    ("别太老的喜剧", "year >= 1982.5", COMEDY),
    ("不要太长", "minutes <= 122.5"),
    ("不太贵的", "price <= 15.25"),
    ("不要香港的", None, "不要含有“香港”"),
    # a must
    ("只要动画片", "genre == 'Animation'"),
    ("只看科幻片或者喜剧片", "genre in ['Sci-Fi', 'Comedy']"),
    ("必须是喜剧", "genre == 'Comedy'"),
    # decades, centuries, numerals
    ("90年代", "1990 <= year < 2000"),
    ("九十年代的", "1990 <= year < 2000"),
    ("９０年代", "1990 <= year < 2000"),
    ("1990年代", "1990 <= year < 2000"),
    ("上世纪九十年代", "1990 <= year < 2000"),
    ("二十世纪九十年代的", "1990 <= year < 2000"),
    ("20世纪的90年代", "1990 <= year < 2000"),
    ("八九十年代的喜剧", "(1980 <= year < 1990 or 1990 <= year < 2000)", COMEDY),
    ("80年代或90年代", "(1980 <= year < 1990 or 1990 <= year < 2000)"),
    ("二十世纪的电影", "1900 <= year <= 1999"),
    ("21世纪", "2000 <= year <= 2099"),
    ("不要90年代的", "not 1990 <= year < 2000"),
    ("不要九十年代的恐怖片", "not (genre == 'Horror' and 1990 <= year < 2000)"),
    ("不是九十年代的科幻片", "not 1990 <= year < 2000", SCI_FI_FILM),
    # comparisons, before and behind the number
    ("1980年以后", "year > 1980"),
    ("一九八〇年以后的喜剧", "year > 1980", COMEDY),
    ("1980年以前的", "year < 1980"),
    ("1980年之前", "year < 1980"),
    ("1990年起的动画片", "year >= 1990", ANIMATED),
    ("晚于1980年", "year > 1980"),
    ("不早于1980年，不晚于1990年", "year >= 1980 and year <= 1990"),
    ("2000年以后或1980年以前", "(year > 2000 or year < 1980)"),
    ("不要2000年以后的", "year <= 2000"),
    ("不要1980年以后的恐怖片", "not (genre == 'Horror' and year > 1980)"),
    ("两小时以内", "minutes <= 120"),
    ("两个小时以内的喜剧", "minutes <= 120", COMEDY),
    ("不超过120分钟", "minutes <= 120"),
    ("一百分钟以上", "minutes >= 100"),
    ("少于1.5小时", "minutes < 90"),
    ("20元以下", "price <= 20"),
    ("￥20以下", "price <= 20"),
    ("十二块钱以内", "price <= 12"),
    ("比1990年更新的", "year > 1990"),
    ("比2小时短的", "minutes < 120"),
    ("1980年到1990年之间", "1980 <= year <= 1990"),
    ("1980至1990年的", "1980 <= year <= 1990"),
    ("从1980年到1990年", "1980 <= year <= 1990"),
    ("1980－1990年", "1980 <= year <= 1990"),
    ("1980~1990年", "1980 <= year <= 1990"),
    ("1994年的动画片", None, "年份 接近 1994（1994 年）", ANIMATED),
    # titles
    ("像 Alien (1979) 一样的科幻片", None, ALIEN, SCI_FI_FILM),
    ("像《Alien》一样", None, ALIEN),
    ("类似《千与千寻》的", None, "类似“千与千寻 (2001)”"),
    ("像千与千寻那样的动画片", None, "类似“千与千寻 (2001)”", ANIMATED),
    ("和“英雄本色”差不多", None, "类似“英雄本色 (1986)”"),
    ("像「Alien」但更搞笑", None, ALIEN, "类型 喜剧（搞笑）"),
    ("像《异形》但更搞笑", None, "类型 喜剧（搞笑）", "?异形"),
    ("不要像《Alien》的", None, f"不要{ALIEN}"),
    # not understood
    ("赛博朋克", None, "?赛博朋克"),
    ("赛博朋克的科幻片", None, SCI_FI_FILM, "?赛博朋克"),
]


@pytest.mark.parametrize(("query", "where", "told"), [(query, where, told) for query, where, *told in REQUESTS])
def test_requests_are_parsed(query, where, told):
    parsed = PARSER.parse(query)
    assert parsed.where == where
    assert [preference.said(LANGUAGE) for preference in parsed.preferences] == [t for t in told if t[0] != "?"]
    assert list(parsed.unknown) == [word[1:] for word in told if word[0] == "?"]


def test_a_request_is_told_back_in_the_language():
    parsed = PARSER.parse("1980年以后的科幻片，像《异形》")
    assert str(parsed) == "只要 year > 1980；偏好：类型 科幻（科幻片）；没有理解：异形"
    assert parsed.to_dict()["preferences"] == [SCI_FI_FILM]


def test_what_is_asked_for_scores_higher():
    scores = PARSER.score(PARSER.parse("香港的黑帮片"))
    assert scores.argmax() == 4
    assert PARSER.score(PARSER.parse("类似《千与千寻》的")).argmax() == 1


@pytest.mark.parametrize(
    "query",
    [
        "日本のアニメ、怖くないもの", "หนังตลกสำหรับเด็ก", "ภาพยนตร์ ปี 1990", "한국 영화", "ភាពយន្ត", "𠮷野家", "、、、",
        "《》", "的", "年年年", "十", "比", "到到到", "1990到", "不不不要",
    ],
)  # fmt: skip
def test_other_scripts_and_odd_requests_are_parsed_without_errors(query):
    english = QueryParser(CATALOG)
    for parser in (PARSER, english):
        parsed = parser.parse(query)
        parser.score(parsed)
        assert str(parsed)


def test_without_a_language_a_word_of_a_catalog_is_found_in_text_without_spaces():
    parsed = QueryParser(CATALOG).parse("千与千寻")
    assert parsed.unknown or parsed.preferences


@pytest.mark.parametrize(
    ("numeral", "number"),
    [
        ("十", 10), ("十二", 12), ("二十", 20), ("一百", 100), ("一百零五", 105),
        ("一千九百八十", 1980), ("一九八〇", 1980), ("两", 2),
    ],
)  # fmt: skip
def test_numerals(numeral, number):
    assert number_of(numeral) == number


def test_text_is_cut_into_as_few_known_words_as_possible():
    segmenter = Segmenter(["不", "不要", "要", "恐怖", "恐怖片", "片"], lambda _word: False)

    def cut(text):
        return [(part.text, part.start) for part in segmenter.cut(Token("word", text, 5, 5 + len(text)))]

    assert cut("不要恐怖片") == [("不要", 5), ("恐怖片", 7)]
    assert cut("甲乙恐怖丙片") == [("甲乙", 5), ("恐怖", 7), ("丙", 9), ("片", 10)]
    assert cut("不") == [("不", 5)]
