"""How a source of texts with numbers may be read; see `Importing` in stages/corpus/parts.py."""

from stages.corpus.examples.importing import READING as OF_TEXTS

READING = {**OF_TEXTS, "data.target": "auto"}
ALWAYS_RECORDED = ("data.format", "data.text", "data.target")
KEEPS_FILES = True
HAS_CLASS_FOLDERS = False
MODEL_SUFFIX = "regression"
