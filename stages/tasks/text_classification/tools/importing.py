"""How a source of texts with labels may be read; see `Importing` in stages/corpus/parts.py."""

from stages.corpus.examples.importing import READING as OF_TEXTS

READING = {
    **OF_TEXTS, "data.label": "auto", "data.label_separator": None, "data.label_names": None, "task.multi_label": False
}  # fmt: skip
ALWAYS_RECORDED = ("data.format", "data.text", "data.label")
KEEPS_FILES = True
HAS_CLASS_FOLDERS = True
MODEL_SUFFIX = "classifier"
