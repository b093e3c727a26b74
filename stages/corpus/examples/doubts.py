"""What makes one doubt labelled texts, when all of them were read: balance, labels, numbers, lengths, splits."""

from collections import Counter

from stages.corpus.examples.figures import ExampleProfile
from stages.corpus.examples.readers.rows import GAPS
from stages.corpus.examples.reading import ExampleCorpus
from stages.corpus.examples.repetition import Repetition
from stages.corpus.splits import SUGGESTED_SHARE, TRAIN, UNSPLIT, suggest_split
from stages.corpus.text.diagnostics import Diagnostics
from stages.corpus.text.sentences import SPLITS
from stages.corpus.type_names import format_type, report_type_names

FEW = 5  # with fewer examples in train a model can hardly learn a label
MAJORITY = 0.9  # share of one label beyond which accuracy says little
MANY_UNKNOWN = 0.2  # share of tokens; another encoder knows more
MANY_LONG = 0.05  # share of examples that are longer than a window
MANY_LABELS = 0.5  # share of all examples: labels that are nearly as many are texts, numbers or ids
JOINTS = (";", "|", ",", "#", "/", "+")  # that may stand between labels in one cell; # as doccano writes them
CLEAR_JOINTS = JOINTS[:4]  # that hardly stand within a label
MANY_VALUES = 0.5  # of a slice, as a share of all examples
NO_SPLIT_NAME = "its name says neither train, dev nor test"


def report_doubts(
    profile: ExampleProfile,
    corpus: ExampleCorpus,
    repetition: Repetition,
    diagnostics: Diagnostics,
    *,
    window: int,
) -> None:
    """Add what is wrong or doubtful about a corpus whose files have no fault."""
    _report_files(corpus, diagnostics)
    _report_splits(profile, corpus, repetition, diagnostics)
    if diagnostics.of("error"):
        return
    if corpus.columns.wanted == "labels":
        _report_labels(profile, corpus, diagnostics)
    else:
        _report_numbers(profile, corpus, diagnostics)
    _report_slices(profile, corpus, diagnostics)
    if profile.has_tokens:
        _report_tokens(profile, corpus, diagnostics, window=window)


def report_gaps(corpus: ExampleCorpus, diagnostics: Diagnostics) -> None:
    """Say how examples without a text or an answer can be left out, if there are some and nothing else is wrong."""
    count = sum(diagnostics.counts[gap] for gap in GAPS)
    if count and corpus.params.faulty == "refuse":
        what = f"{count_examples(count, 'has', 'have')} no text or no answer"
        message = f"{what}. Fill them in, or leave them out: --set data.faulty=drop"
        diagnostics.add_all("error", "gaps", 1, [(str(corpus.place), message)], faulty=0)


def _report_files(corpus: ExampleCorpus, diagnostics: Diagnostics) -> None:
    for path in corpus.ignored:
        what = "it stands beside files. If it is a class: --set data.format=folders" if path.is_dir() else NO_SPLIT_NAME
        diagnostics.add("warning", "ignored-file", path, f"not read: {what}")
    missing = [name for name in SPLITS[1:] if name not in corpus.splits]
    if missing:
        what = "train, dev and test" if corpus.splits == (UNSPLIT,) else missing[0]
        command = suggest_split(corpus.place, dict.fromkeys(missing, SUGGESTED_SHARE))
        diagnostics.add("warning", "unsplit", corpus.place, f"no {what}. To train on it: {command}")


def _report_splits(
    profile: ExampleProfile, corpus: ExampleCorpus, repetition: Repetition, diagnostics: Diagnostics
) -> None:
    for name, split in profile.splits.items():
        if not split.examples and name in corpus.given:
            diagnostics.add("error", "no-example", corpus.place, f"no example in {name}; each split needs one")
        elif not split.examples:
            count = repetition.count_distinct()
            there = f"there are {count:,} distinct ones" if count != 1 else "there is 1 distinct one"
            message = f"no example in {name}. Equal texts stay in one split, and {there}"
            diagnostics.add("error", "no-example", corpus.place, message)
        elif corpus.given and name not in (*corpus.given, TRAIN):
            message = f"{name} is cut from train: {count_examples(split.examples)}"
            diagnostics.add("note", "cut-split", corpus.place, message)


def _report_labels(profile: ExampleProfile, corpus: ExampleCorpus, diagnostics: Diagnostics) -> None:
    total = sum((split.labels for split in profile.splits.values()), Counter[str]())
    examples = sum(split.examples for split in profile.splits.values())
    report_type_names(total, corpus.place, diagnostics, noun="label")
    train = next(iter(profile.splits.values()))
    is_multiple = corpus.columns.multi_label
    if len(train.labels) < (1 if is_multiple else 2):
        held = f"only {format_type(next(iter(train.labels)))}" if train.labels else "no label"
        message = (
            f"{held} in {next(iter(profile.splits))}, so there is nothing to learn. Is data.label the right column?"
        )
        diagnostics.add("error", "no-labels", corpus.place, message)
        return
    if len(total) > max(20, MANY_LABELS * examples) and not is_multiple:
        message = (
            f"{len(total):,} labels on {examples:,} examples: are they texts or numbers? Is data.label the right "
            "column? For numbers take the task regression"
        )
        diagnostics.add("error", "many-labels", corpus.place, message)
        return
    _report_rare_labels(profile, corpus, total, diagnostics)
    has_joined = corpus.columns.answers.separator is None and _report_joined(total, corpus, diagnostics)
    if is_multiple:
        _report_label_counts(profile, corpus, diagnostics, has_joined=has_joined)
    else:
        label, count = train.labels.most_common(1)[0]
        if count > MAJORITY * train.examples:
            message = (
                f"{count / train.examples:.0%} of train is {format_type(label)}: judge by macro F1, not by accuracy"
            )
            diagnostics.add("warning", "imbalance", corpus.place, message)


def _report_rare_labels(
    profile: ExampleProfile, corpus: ExampleCorpus, total: Counter[str], diagnostics: Diagnostics
) -> None:
    (first, train), *others = profile.splits.items()
    for label in sorted(total):
        there = [name for name, split in others if split.labels[label]]
        if not train.labels[label]:
            where = f"in {' and '.join(there)} only, in {count_examples(total[label])}"
            message = f"{format_type(label)} is {where}: no model can learn it"
            diagnostics.add("warning", "unseen-label", corpus.place, message)
        elif train.labels[label] < FEW:
            what = count_examples(train.labels[label])
            message = f"{format_type(label)} has only {what} in {first}, too few to learn from"
            diagnostics.add("warning", "few-examples", corpus.place, message)
        missing = [name for name, _ in others if name not in there]
        if train.labels[label] and missing:
            names = f"neither in {' nor in '.join(missing)}" if len(missing) > 1 else f"not in {missing[0]}"
            message = f"{format_type(label)} is {names}, so its score there is unknown"
            diagnostics.add("note", "untested-label", corpus.place, message)


def _report_label_counts(
    profile: ExampleProfile, corpus: ExampleCorpus, diagnostics: Diagnostics, *, has_joined: bool
) -> None:
    counts = sum((split.label_counts for split in profile.splits.values()), Counter[int]())
    if counts[0]:
        message = f"{count_examples(counts[0], 'has', 'have')} no label, as examples of none"
        diagnostics.add("note", "unlabelled", corpus.place, message)
    if set(counts) == {1} and not has_joined:
        message = "each example has exactly one label; with task.multi_label=false they exclude each other, which helps"
        diagnostics.add("warning", "one-label", corpus.place, message)


def _report_joined(total: Counter[str], corpus: ExampleCorpus, diagnostics: Diagnostics) -> bool:
    """Report labels that are made of others, as if several stood in one cell; return whether there are some."""
    found = False
    for joint in JOINTS:
        joined = _find_joined(total, joint)
        if joined:
            found = True
            message = (
                f"{format_type(joined[0])} looks like several labels in one"
                f"{f', as do {len(joined) - 1:,} others' if len(joined) > 1 else ''}. If so: set "
                f"{'' if corpus.columns.multi_label else 'task.multi_label=true and '}data.label_separator={joint!r}"
            )
            diagnostics.add("warning", "joined-labels", corpus.place, message)
    return found


def _find_joined(total: Counter[str], joint: str) -> list[str]:
    """List the labels each of whose parts is a label too, or, at a clear joint, a part of another such label."""
    parts = {
        label: [part.strip() for part in label.split(joint)]
        for label in sorted(total)
        if joint in label and label.strip(joint)
    }
    counts = Counter(part for each in parts.values() for part in set(each)) if joint in CLEAR_JOINTS else Counter[str]()
    return [label for label, each in parts.items() if all(part in total or counts[part] > 1 for part in each)]


def _report_numbers(profile: ExampleProfile, corpus: ExampleCorpus, diagnostics: Diagnostics) -> None:
    for name, split in profile.splits.items():
        for said, numbers in zip(profile.target_names, split.numbers, strict=True):
            which = f"the target {said.removeprefix('target ')}" if len(split.numbers) > 1 else "the target"
            if numbers.low == numbers.high or not numbers.squares:  # of differences too small for a double
                is_train = name in (TRAIN, UNSPLIT)
                what = "so there is nothing to learn" if is_train else "so no score says anything"
                message = f"{which} is {numbers.low:g} for all of {name}, {what}. Is data.target the right column?"
                diagnostics.add("error" if is_train else "warning", "constant", corpus.place, message)


def _report_slices(profile: ExampleProfile, corpus: ExampleCorpus, diagnostics: Diagnostics) -> None:
    for name in corpus.columns.slices:
        values = {value for split in profile.splits.values() for value in split.slices.get(name, ())}
        examples = sum(split.examples for split in profile.splits.values())
        if len(values) > max(20, MANY_VALUES * examples):
            message = (
                f"the slice {name} has {len(values):,} values on {count_examples(examples)}: is it an id or a text?"
            )
            diagnostics.add("warning", "many-slices", corpus.place, message)


def count_examples(count: int, one: str = "", many: str = "") -> str:
    """Return a number of examples, and what follows it: `one` or `many`."""
    return f"1 example {one}".rstrip() if count == 1 else f"{count:,} examples {many}".rstrip()


def _report_tokens(profile: ExampleProfile, corpus: ExampleCorpus, diagnostics: Diagnostics, *, window: int) -> None:
    tokens = sum(split.tokens for split in profile.splits.values())
    unknown = sum(split.unknown_tokens for split in profile.splits.values())
    if unknown > MANY_UNKNOWN * tokens:
        message = (
            f"the tokenizer does not know {unknown / tokens:.0%} of the words ({unknown:,} of {tokens:,} tokens); "
            "a model learns little from them. Take an encoder of this language and script: set model.pretrained to its "
            "hub id or folder, model.revision to its commit, or null for a folder, and model.sha256 to what the next "
            "run names"
        )
        diagnostics.add("warning", "unknown-words", corpus.place, message)
    for name, split in profile.splits.items():
        count = split.longer_than(window)
        if count:
            message = (
                f"{count_examples(count, f'of {name} is', f'of {name} are')} longer than a window of {window} tokens "
                f"({count / split.examples:.1%}; the longest has {split.longest:,}); several windows are averaged"
            )
            diagnostics.add(
                "warning" if count > MANY_LONG * split.examples else "note", "long-texts", corpus.place, message
            )
