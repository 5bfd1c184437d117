"""Bytes as text: byte order marks, UTF-8, then the encoding that fits what is written."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from genre_gen.data.readers.files import Folder, Problem, read_bytes
from genre_gen.errors import DataError

AUTO = "auto"
"""The value of ``data.encoding`` that lets each file decide."""

WESTERN = "cp1252"

_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORD = re.compile(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*")
_SAMPLE = 1 << 16  # bytes of lines beyond ASCII that are enough to tell
_FITS, _SURE = 0.85, 0.97  # shares of a text's letters that must be of the script
_LATIN = {  # the accented letters of the languages that an encoding is used for
    WESTERN: "àáâãäåæçèéêëìíîïñòóôõöøœùúûüß",
    "cp1254": "çğıİöşüâîû",
    "cp1250": "ąćęłńóśźżáčďéěíňřšťúůýžäôľĺŕöüőűâăîşţ",
    "mac_roman": "àáâãäåæçèéêëìíîïñòóôõöøœùúûüß",
    "cp850": "àáâãäåæçèéêëìíîïñòóôõöøùúûüß",
}
_OLD, _OLD_FROM = ("mac_roman", "cp850"), 0.6
_SIGNS = "“”„‘’–—…€«»¿¡™®©°·•×½"
_CYRILLIC = ("А-ЯЁІЇЄҐЎ", "а-яёіїєґў", "[аеёиіїоуыэюяєў]")
_CASED = {  # capitals, other letters, and vowels, of which each word has many
    **dict.fromkeys(("cp1251", "koi8_r", "cp866", "iso8859_5"), _CYRILLIC),
    "cp1253": ("Α-ΩΆ-Ώ", "α-ωά-ώΐΰ", "[αάεέηήιίϊΐοόυύϋΰωώ]"),
}
_VOWELS = 0.25  # their least share
_HEBREW = "א-ת"
_OTHERS = {  # in this order, since text of the later ones seldom fits the earlier ones
    "cp1256": "[ء-يپچژگی]",
    "cp949": "[가-힣]",
    "gb18030": "[一-龥]",
    "big5": "[一-龥]",
    "cp874": "[ก-๛]",
    "cp932": "[一-龥]",
    "euc_jp": "[一-龥]",
}
_KANA, _JAPANESE = "[ぁ-ヶー]", "[ぁ-ヶー々一-龥、-】・！？]"
_ODD_KANA = 0.1  # share of kana from which a text is Japanese
_FREQUENT = "[이다는에의가고을를은한사인기도지로리아서자하나대시어라전수정해스일부동비장]"  # of Korean: a third of all
_FREQUENT_IN_BIG5 = 0xC6  # the largest first byte of frequent characters
_HANGUL = 0.1  # their least share: Chinese also gives syllables, but rare ones


@dataclass(frozen=True)
class Text:
    """The text of a file."""

    content: str
    file: str  # its name, for messages
    encoding: str = "utf-8"
    notes: tuple[Problem, ...] = ()  # the encoding, where the file does not say it


def decode(file: Folder, encoding: str | None = None, usual: str | None = None) -> Text:
    """Return a file's text, decompressed if its name ends in ``.gz``.

    Args:
        file: the file.
        encoding: its name; None or ``auto`` to find it out.
        usual: the encoding of files of this format that are not UTF-8; by default it is found out and noted.

    Raises:
        DataError: it cannot be decoded; the message names the line.
    """
    data, name = read_bytes(file), str(file)
    if encoding is not None and encoding.lower() != AUTO:
        return Text(_strict(data, name, _plain(encoding)), name, encoding)
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return Text(_strict(data, name, marked), name) if "8" in marked else _noted(data, name, marked)
    if b"\0" in data and (wide := _wide(data)):
        return _noted(data, name, wide)
    try:
        return Text(data.decode(), name)
    except UnicodeDecodeError as problem:
        if _almost(data):
            raise _undecodable(data, name, "UTF-8, as its other lines are", problem) from None
    if usual is not None:
        return Text(_strict(data, name, usual), name, usual)
    return _noted(data, name, found_encoding(data) or _detected(data, name))


def _plain(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower().replace("_", "-") == "utf-8" else encoding


def _strict(data: bytes, file: str, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except LookupError:
        raise DataError(f"{file}: the encoding {encoding!r} is not known; use 'auto', 'utf-8' or 'cp1252'") from None
    except UnicodeDecodeError as problem:
        raise _undecodable(data, file, encoding.removesuffix("-sig"), problem) from None


def _undecodable(data: bytes, file: str, encoding: str, problem: UnicodeDecodeError) -> DataError:
    line, byte = data.count(b"\n", 0, problem.start) + 1, data[min(problem.start, len(data) - 1)]
    return DataError(
        f"{file}, line {line}: byte 0x{byte:02x} is not {encoding}; correct the line, save the file as UTF-8, or name "
        "its encoding (data.encoding in domain.toml, --encoding of `domains new`)"
    )


def _noted(data: bytes, file: str, encoding: str) -> Text:
    """Return the text, with a note that names the encoding and shows the first line that depends on it."""
    content = _strict(data, file, encoding)
    lines = [(number, line) for number, line in enumerate(content.split("\n"), 1) if not line.isascii()]
    number, line = lines[0] if lines else (1, content.partition("\n")[0])
    written = repr(line.strip()[:60])
    note = Problem(file, "not UTF-8", max(1, len(lines)), f"line {number}", written, f"read as {encoding}")
    return Text(content, file, encoding, (note,))


def _wide(data: bytes) -> str | None:
    """Return the kind of UTF-16 without a mark, by the line ends; None if the zeros are something else."""
    little, big = (sum(data.count(end) for end in ends) for ends in ((b"\n\0", b",\0"), (b"\0\n", b"\0,")))
    wide = "utf-16-le" if little >= big else "utf-16-be"
    try:
        text = data.decode(wide)
    except UnicodeDecodeError:
        return None
    return wide if "\0" not in text and "\n" in text else None


def _almost(data: bytes) -> bool:
    """Tell whether nearly all lines with other letters than ASCII are UTF-8: a second decoding would spoil those."""
    lines = [line for line in data.split(b"\n") if not line.isascii()]
    return len(lines) > 1 and sum(_is_utf8(line) for line in lines) > len(lines) / 2


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def found_encoding(data: bytes) -> str | None:
    """Return the encoding that fits the words of a text which is not UTF-8; None if no frequent one does."""
    lines = [line for line in data[: 16 * _SAMPLE].split(b"\n") if not line.isascii()]
    sample = b"\n".join(lines)[:_SAMPLE] + b"\n"
    for encoding in ("cp932", "euc_jp"):
        if _share(sample, encoding, _KANA) >= _ODD_KANA and _share(sample, encoding, _JAPANESE) >= _FITS:
            return encoding
    runs, words = re.findall(rb"[\x80-\xff]+", sample), _WORD.findall(sample)
    accents = sum(map(len, runs))
    latin = _latin(sample)
    if latin and (2 * accents < sum(map(len, words)) or accents < 2 * len(runs)):  # among letters of ASCII
        return latin
    if _share(sample, "cp1255", f"[{_HEBREW}{_SIGNS}]") >= _SURE:
        return "cp1255"
    vowels = {encoding: _share(sample, encoding, f"(?i){each}") for encoding, (_, _, each) in _CASED.items()}
    for encoding in sorted(_CASED, key=vowels.__getitem__, reverse=True):
        capitals, letters, _ = _CASED[encoding]
        word = rf"\b[{capitals}]?[{letters}]+\b|\b[{capitals}]+\b|[{_SIGNS}]"
        if vowels[encoding] >= _VOWELS and _share(sample, encoding, word) >= _FITS:
            return encoding
    return next((encoding for encoding in _OTHERS if _fits(sample, encoding)), latin)


def _share(sample: bytes, encoding: str, pattern: str, errors: str = "strict") -> float:
    """Return the share of a sample's letters beyond ASCII that are in matches of a pattern; 0 if it is not decodable.

    A character that was cut in two at the sample's end does not count.
    """
    try:
        text = codecs.getincrementaldecoder(encoding)(errors).decode(sample)
    except UnicodeDecodeError:
        return 0.0
    found = sum(letter > "\x7f" for match in re.finditer(pattern, text) for letter in match[0])
    return found / max(1, sum(letter > "\x7f" for letter in text))


def _latin(sample: bytes) -> str | None:
    """Return the encoding with the largest share of usual letters, the first of the best; None if none has many.

    Old encodings of other systems count only where Windows' own have few of them: a single byte that cannot be decoded
    is more often a mistake.
    """
    signs = rf"(?<![a-z])[{_SIGNS}]|[{_SIGNS}](?![a-z])|’"
    shares = {
        encoding: _share(sample, encoding, f"[{letters}]|(?<![a-z])[{letters.upper()}]|{signs}", "replace")
        for encoding, letters in _LATIN.items()
    }
    best = max(shares, key=shares.__getitem__)
    if best in _OLD and shares[WESTERN] > _OLD_FROM:
        return WESTERN
    return best if shares[best] >= (_OLD_FROM if best == WESTERN else _FITS) else None


def _fits(sample: bytes, encoding: str) -> bool:
    """Tell whether a sample consists of the letters of an encoding without capitals."""
    if _share(sample, encoding, _OTHERS[encoding]) < _FITS:
        return False
    if encoding == "cp949":
        return _share(sample, encoding, _FREQUENT) >= _HANGUL
    letters = [letter for letter in sample.decode(encoding, "ignore") if letter > "\x7f"]
    if encoding == "gb18030":
        return sum(bool(letter.encode("gb2312", "ignore")) for letter in letters) >= _FITS * len(letters)
    if encoding == "big5":  # its frequent characters come first
        return sum(letter.encode("big5")[0] <= _FREQUENT_IN_BIG5 for letter in letters) >= _FITS * len(letters)
    return True


def _detected(data: bytes, file: str) -> str:
    """Return the encoding that a detector of all encodings finds; raises DataError if it finds none."""
    from charset_normalizer import from_bytes

    lines = b"\n".join(line for line in data[: 16 * _SAMPLE].split(b"\n") if not line.isascii())
    match = from_bytes(lines[:_SAMPLE]).best()
    if match is not None and _share(data, match.encoding, r"\w") >= _FITS:
        return match.encoding
    try:
        data.decode(WESTERN)
    except UnicodeDecodeError as problem:
        raise _undecodable(data, file, f"UTF-8, nor {WESTERN}, nor found to be another encoding", problem) from None
    return WESTERN
