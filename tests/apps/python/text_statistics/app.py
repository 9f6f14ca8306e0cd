# Statistics of a text: counts, the most common words, how easy it is to read.
import re
import statistics
import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass

if not isinstance(text, str) or not text.strip():
    raise ValueError("there is no text")

STOPWORDS = frozenset("a an and are as at be by for from in is it of on or that the to was with".split())


@dataclass
class Statistics:
    characters: int
    words: int
    sentences: int
    paragraphs: int
    unique_words: int
    mean_word_length: float
    reading_minutes: float


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", unicodedata.normalize("NFC", text).lower())


def sentences_of(text: str) -> list[str]:
    return [sentence for sentence in re.split(r"(?<=[.!?…])\s+", text.strip()) if sentence]


def syllables(word: str) -> int:
    groups = re.findall(r"[aeiouy]+", word)
    return max(1, len(groups) - (word.endswith("e") and len(groups) > 1))


words = words_of(text)
sentences = sentences_of(text)
lengths = [len(word) for word in words]
counted = Counter(word for word in words if word not in STOPWORDS)

result = Statistics(
    characters=len(text),
    words=len(words),
    sentences=len(sentences),
    paragraphs=len(re.split(r"\n\s*\n", text.strip())),
    unique_words=len(set(words)),
    mean_word_length=round(statistics.fmean(lengths), 2) if lengths else 0.0,
    reading_minutes=round(len(words) / 200, 2),
)
words_per_sentence = len(words) / len(sentences)
syllables_per_word = sum(map(syllables, words)) / max(1, len(words))

asdict(result) | {
    "top": [list(pair) for pair in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:top]],
    "longest": max(words, key=len, default=None),
    "flesch": round(206.835 - 1.015 * words_per_sentence - 84.6 * syllables_per_word, 1),
    "letters": dict(Counter(letter for word in words for letter in word).most_common(3)),
}
