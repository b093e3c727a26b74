"""The formats of corpora, as `tuneline check --help` shows them: of entities, and of texts with labels or numbers."""

FORMATS = """
The format is detected from the name and the first bytes of each file, or set with data.format. Any file may be a .gz.
What a corpus is for, the task of the pipeline says: entities first, texts with labels or numbers below.

train.conll (or .tsv, .txt ...): columns separated by tabs or blanks, a blank line after each sentence. The schemes
IOB1, IOB2, IOE1, IOE2, IOBES, BILOU, BMES and IO are recognised, and the brackets of CoNLL-2012.

    Angela B-PER
    Merkel I-PER
    left O

train.jsonl: words with tags, or text with spans as doccano (the second line) and Prodigy (the third) export it, or
words with spans as GLiNER has them (the fourth).

    {"tokens": ["Angela", "left"], "tags": ["B-PER", "O"]}
    {"text": "Angela left", "label": [[0, 6, "PER"]]}
    {"text": "Angela left", "spans": [{"start": 0, "end": 6, "label": "PER"}]}
    {"tokenized_text": ["Angela", "left"], "ner": [[0, 0, "PER"]]}

train.json: an array of such records, or an export of Label Studio.

    [{"data": {"text": "Angela left"}, "annotations": [
      {"result": [{"type": "labels",
                   "value": {"start": 0, "end": 6, "labels": ["PER"]}}]}]}]

train.parquet, train.csv: as Hugging Face datasets write them, a sentence a row; tags are strings, or numbers that the
Parquet file or a dataset_info.json names. Lists in cells are JSON or Python; commas, semicolons or tabs separate cells.

    tokens,ner_tags
    "['Angela', 'left']","['B-PER', 'O']"
    "['Bonn', 'sleeps']","['B-LOC', 'O']"

train/letter.ann of brat, beside train/letter.txt, which says `Angela left`; tabs separate its three parts.

    T1\tPER 0 6\tAngela

Splits are files named train, dev (or valid, validation, val) and test, shards such as train-00000-of-00002.parquet, or
folders of these names. What is missing is cut from train by a hash of each example: `--set 'data.split={dev: 0.1}'`,
or `--set 'data.split={dev: 0.1, test: 0.1}'` for a corpus of one file.
"""

TEXT_FORMATS = """
Texts with labels or numbers, for the tasks text_classification and regression, are tables with any separator
(train.csv, .tsv, .txt, .parquet). Columns are found by their usual names, or by data.text, data.label, data.target and
data.text_pair, for a second text; data.slices keeps others.

    text,label,region
    "Late again, and nobody called.",complaint,north
    Quick and friendly.,praise,south

    text,severity
    "Late again, and nobody called.",6.5
    Quick and friendly.,0

With task.multi_label a text has several labels: a list, a cell with data.label_separator, or a column of 0 and 1 each.

    text,labels
    "Late again, and nobody called.","['delivery', 'service']"
    Quick and friendly.,['service']

train.jsonl, train.json: such records, as doccano and Prodigy export them too, or an export of Label Studio.

    {"text": "Late again, and nobody called.", "label": "complaint"}
    {"text": "Quick and friendly.", "label": ["praise"]}

train.txt of fastText; or a folder for each class, with a .txt for each text in it.

    __label__complaint Late again, and nobody called.
    __label__praise Quick and friendly.
"""
