"""Which words a text uses most, and how hard it is to read. Names: text, top."""

import re
import unicodedata
from collections import Counter
from statistics import mean

STOP_WORDS = {"a", "an", "and", "as", "at", "in", "is", "it", "of", "on", "or", "so", "that", "the", "to", "was"}


def normalized(word):
    """Lower case, without accents and a possessive ending."""
    plain = unicodedata.normalize("NFKD", word.lower())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return plain.removesuffix("'s")


def syllables(word):
    groups = re.findall(r"[aeiouy]+", word)
    silent = word.endswith("e") and len(groups) > 1
    return max(1, len(groups) - silent)


def reading_ease(words, sentences):
    """Flesch's formula: 100 is easy, 0 is hard."""
    per_sentence = len(words) / len(sentences)
    per_word = mean(syllables(word) for word in words)
    return round(206.835 - 1.015 * per_sentence - 84.6 * per_word, 1)


words = [normalized(word) for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text)]
sentences = [sentence for sentence in re.split(r"[.!?]+", text) if sentence.strip()]

if not words:
    result = {"error": "there are no words"}
else:
    counts = Counter(word for word in words if word not in STOP_WORDS)
    ranking = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    result = {
        "words": len(words),
        "sentences": len(sentences),
        "unique": set(words),
        "top": ranking[:top],
        "ease": reading_ease(words, sentences),
        "longest": max(words, key=len),
    }
result
