"""streams_streamz.py SENTENCES: word count by streamz."""

import sys

from loop import serve
from streams_data import digest, sentences
from streamz import Stream

SENTENCES = sentences(int(sys.argv[1]))


def words(task):
    source, counts = Stream(), {}

    def count(word):
        counts[word] = counts.get(word, 0) + 1

    source.map(lambda sentence: sentence.split(" ")).flatten().sink(count)
    for sentence in SENTENCES:
        source.emit(sentence)
    return counts


serve(words, digest)
