"""How a source of tagged text may be read; see `Importing` in stages/corpus/parts.py."""

READING = {
    "data.format": "auto", "data.words": "auto", "data.tags": "auto",
    "data.offsets": "characters", "data.faulty": "refuse", "data.strip_prefix": None, "data.strip_suffix": None,
}  # fmt: skip
ALWAYS_RECORDED = tuple(READING)[:3]
KEEPS_FILES = False  # the standard form is read with the values above
HAS_CLASS_FOLDERS = False
MODEL_SUFFIX = "ner"
