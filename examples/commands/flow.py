"""A dataflow of Bytewax that knows nothing of swimstream: how often each word occurs in the files of a directory.

`python -m bytewax.run 'examples/commands/flow.py:flow("DIRECTORY", "RESULT")'`
"""

import json
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.files import DirSource, FileSink
from bytewax.dataflow import Dataflow


def flow(directory: str, result: str) -> Dataflow:
    """Count the words of every `clean-*.jsonl` of `directory`; write one JSON object a word to `result`."""
    made = Dataflow("words")
    lines = op.input("lines", made, DirSource(Path(directory), glob_pat="clean-*.jsonl"))
    words = op.map("word", lines, lambda line: json.loads(line)["word"])
    counts = op.count_final("count", words, lambda word: word)
    texts = op.map("text", counts, lambda pair: (pair[0], json.dumps({"word": pair[0], "count": pair[1]})))
    op.output("result", texts, FileSink(Path(result)))
    return made
