"""How a source of raw text may be read; see `Importing` in stages/corpus/parts.py."""

READING = {"data.document": "blank_line"}
ALWAYS_RECORDED = ("data.document",)
KEEPS_FILES = True
HAS_CLASS_FOLDERS = False
MODEL_SUFFIX = "language"
