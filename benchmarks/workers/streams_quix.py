"""streams_quix.py SENTENCES: word count by the core of quixstreams, without a broker: its operators, composed and
called as its consumer does, and the count in a closure, for its state needs Kafka."""

import sys
from unittest.mock import MagicMock

from loop import serve
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.dataframe.registry import DataFrameRegistry
from streams_data import digest, sentences

SENTENCES = sentences(int(sys.argv[1]))


def words(task):
    topic, counts = MagicMock(), {}
    topic.name = "sentences"
    frame = StreamingDataFrame(
        topic, topic_manager=MagicMock(), registry=DataFrameRegistry(), processing_context=MagicMock()
    )

    def count(word):
        counts[word] = counts.get(word, 0) + 1
        return word

    frame = frame.apply(lambda sentence: sentence.split(" "), expand=True).apply(count)
    (call,) = frame.stream.compose().values()
    for number, sentence in enumerate(SENTENCES):
        call(sentence, b"key", number, [])
    return counts


serve(words, digest)
