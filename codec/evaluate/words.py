"""Words as judges and people are compared by them: one spelling for what is said alike, and how many are wrong.

Recognisers write `Mr.`, `1803` and `colour` where a transcript has MISTER, EIGHTEEN O THREE and COLOR. Both sides go
through `normalize` before they are compared; what it does not know counts as an error of the codec, so that it errs on
the side of more errors, for all systems alike.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"]
ONES += ["fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand"), (100, "hundred"))
NUMBER_WORDS = {*ONES, *TENS[1:], *(name for _, name in SCALES)}
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
YEARS = range(1100, 2100)
LARGEST = 10**12  # larger numbers are read digit by digit
UNITS = {"$": "dollar", "£": "pound", "€": "euro"}

ABBREVIATIONS = {
    **{"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint", "prof": "professor", "messrs": "messieurs", "oh": "o"},
    **{"vs": "versus", "etc": "et cetera", "ok": "okay", "cheque": "check", "plough": "plow", "grey": "gray", "storey": "story"},
    **{"programme": "program", "defence": "defense", "offence": "offense", "licence": "license", "pretence": "pretense"},
    **{"sceptic": "skeptic", "mould": "mold", "kerb": "curb", "tyre": "tire", "jewellery": "jewelry", "moustache": "mustache"},
}
# American spelling of families of words: pattern of the British one, and what stands for it.
SPELLINGS = tuple(
    (re.compile(pattern), american)
    for pattern, american in (
        (
            r"\b(dis|un|mis|en)?(ard|arm|behavi|cand|clam|col|demean|endeav|fav|ferv|flav|glam|harb|hon|hum|lab|neighb|od|parl|ranc"
            r"|rig|rum|sav|splend|succ|tum|val|vap|vig)our",
            r"\1\2or",
        ),
        (r"\b(accout|cent|calib|fib|lit|lust|meag|met|kilomet|sab|sepulch|somb|spect|theat)re(s?)\b", r"\1er\2"),
        (
            r"\b(agon|apolog|author|bapt|character|civil|colon|critic|dramat|econom|emphas|equal|fertil|general|harmon|ideal"
            r"|jeopard|local|memor|modern|moral|organ|patron|popular|real|recogn|reorgan|scandal|scrutin|special|standard|steril"
            r"|summar|symbol|sympath|terror|tyrann|util|victim|visual|vulgar)is(e|ed|er|ers|es|ing|ation|ations)\b",
            r"\1iz\2",
        ),
        (
            r"\b(cancel|channel|counsel|dial|duel|equal|fuel|grovel|jewel|label|level|marvel|model|panel|pencil|quarrel|revel|rival"
            r"|shrivel|signal|travel|tunnel)l(ed|er|ers|ing|ings|or|ors|ous|ously)\b",
            r"\1\2",
        ),
        (r"\b(to) (day|morrow|night)\b", r"\1\2"),
        (r"\b(any|every|some) (one|body|thing)\b", r"\1\2"),
        (r"\bper cent\b", "percent"),
        (r"\bfor ever\b", "forever"),
        (r"\ba (hundred|thousand|million)\b", r"one \1"),
    )
)


def number_in_words(number: int) -> str:
    """A whole number 0 or larger as it is said, without `and`; digit by digit from 10^12 on."""
    if number >= LARGEST:
        return " ".join(ONES[int(digit)] for digit in str(number))
    for scale, name in SCALES:
        if number >= scale:
            rest = f" {number_in_words(number % scale)}" if number % scale else ""
            return f"{number_in_words(number // scale)} {name}{rest}"
    if number < len(ONES):
        return ONES[number]
    return TENS[number // 10] + (f" {ONES[number % 10]}" if number % 10 else "")


def _pair(number: int) -> str:
    """Two digits behind two others, as in years and times of the day."""
    return "hundred" if not number else f"o {ONES[number]}" if number < 10 else number_in_words(number)


def _year(number: int) -> str:
    if number in range(2000, 2010):
        return number_in_words(number)
    return f"{number_in_words(number // 100)} {_pair(number % 100)}"


def _ordinal(words: str) -> str:
    head, _, last = words.rpartition(" ")
    last = ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return f"{head} {last}".strip()


def _plural(words: str) -> str:
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def _said(found: re.Match[str]) -> str:
    """A number with what belongs to it, in words."""
    unit, digits, minutes, decimals, ending, percent = found.groups()
    number = int(digits.replace(",", ""))
    is_year = len(digits) == 4 and number in YEARS and not (unit or minutes or decimals or percent)
    words = _year(number) if is_year else number_in_words(number)
    if minutes and int(minutes):
        words += f" {_pair(int(minutes))}"
    if decimals:
        words += " point " + " ".join(ONES[int(digit)] for digit in decimals)
    if ending:
        words = _plural(words) if ending == "s" else _ordinal(words)
    if unit:
        words += f" {UNITS[unit]}" + ("" if number == 1 and not decimals else "s")
    return f" {words}{' percent' if percent else ''} "


_NUMBER = re.compile(r"([$£€])?(\d{1,3}(?:,\d{3})+|\d+)(?::(\d\d))?(?:\.(\d+))?(?:(st|nd|rd|th|s)\b)?(\s?%)?")


def normalize(text: str) -> str:
    """Lower-case words of letters and apostrophes separated by single spaces: numbers, abbreviations and spelling unified.

    What stands in brackets is a recogniser's remark and is dropped; accents are.
    """
    text = unicodedata.normalize("NFKD", text.replace("\u2019", "'")).lower()
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    text = re.sub(r"\(.*?\)|\[.*?\]", " ", text)
    text = _NUMBER.sub(_said, text.replace("&", " and "))
    words = [word.strip("'") for word in re.findall(r"[a-z']+", text)]
    text = " ".join(ABBREVIATIONS.get(word, word) for word in words if word)
    for pattern, american in SPELLINGS:
        text = pattern.sub(american, text)
    words = text.split()
    around = zip(["", *words], words, [*words[1:], ""], strict=False)
    # "one hundred and five" and "one hundred five" are the same number.
    joins = ("hundred", "thousand")
    return " ".join(word for before, word, after in around if word != "and" or before not in joins or after not in NUMBER_WORDS)


@dataclass(frozen=True)
class TextErrors:
    """Substitutions, deletions and insertions of a hypothesis, and the length of its reference, in words and letters.

    Letters include the single spaces between words.
    """

    errors: int
    words: int
    letter_errors: int
    letters: int


def text_errors(reference: str, hypothesis: str) -> TextErrors:
    """Errors of the best alignments of two texts, both normalised first; at most as many as the reference is long.

    The limit: a recogniser that runs in circles on one utterance writes hundreds of words, which would outweigh all
    other utterances. Nobody can misunderstand more of a sentence than all of it. An empty reference counts as nothing.
    """
    import jiwer  # of the extra eval

    reference, hypothesis = normalize(reference), normalize(hypothesis)
    if not reference:
        return TextErrors(0, 0, 0, 0)
    words, letters = jiwer.process_words(reference, hypothesis), jiwer.process_characters(reference, hypothesis)
    found = [each.substitutions + each.deletions + each.insertions for each in (words, letters)]
    lengths = len(reference.split()), len(reference)
    return TextErrors(min(found[0], lengths[0]), lengths[0], min(found[1], lengths[1]), lengths[1])
