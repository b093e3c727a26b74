"""Records as the tools of annotators export them: doccano, Label Studio and Prodigy."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from stages.corpus.annotations.label_studio import choose_annotation, is_task, refuse_address
from stages.corpus.examples.readers.columns import TEXT_NAMES, Columns
from stages.corpus.readers.columns import AUTO
from stages.corpus.text.diagnostics import AnnotationError

Record = dict[str, Any]
TAXONOMY = "taxonomy"  # each answer is a path from the root
ANSWERS = {"labels": ("choices", TAXONOMY), "numbers": ("rating", "number")}  # types of results in Label Studio
OTHER_LABELS = ("labels", "hypertextlabels", "paragraphlabels")  # spans, which are no answers about a text


@dataclass
class RecordFlattener:
    """Makes fields of a record: for a task of Label Studio, its texts and the answer of each control by its name.

    None for a record that is not annotated; `notes` counts those, by reason.
    """

    columns: Columns
    notes: Counter[str] = field(default_factory=Counter)

    def __call__(self, record: Record) -> Record | None:
        """Return the fields; AnnotationError if it is not clear which answer is meant."""
        if is_task(record):
            return self._flatten_task(record)
        if record.get("answer", "accept") != "accept" and ("accept" in record or "_input_hash" in record):
            self.notes["examples that were not accepted in Prodigy were skipped"] += 1
            return None
        return record

    def _flatten_task(self, task: Record) -> Record | None:
        annotation = choose_annotation(task, self.notes)
        if annotation is None:
            return None
        results = annotation.get("result")
        answers = self._list_answers(results)
        if not answers and self._must_have_one:
            wanted = " or ".join(ANSWERS[self.columns.wanted])
            self.notes[f"tasks without {wanted} were skipped{_list_kinds(results)}"] += 1
            return None
        texts = dict(task["data"])
        for name in (self.columns.text, self.columns.pair):
            if isinstance(texts.get(name), str):
                refuse_address(texts[name])
        if self.columns.text == AUTO:
            for value in texts.values():
                if isinstance(value, str):
                    refuse_address(value)
            strings = [name for name, value in texts.items() if isinstance(value, str)]
            if len(strings) == 1 and strings[0].lower() not in TEXT_NAMES:
                texts["text"] = texts[strings[0]]
        return texts | self._name_answers(answers)

    @property
    def _must_have_one(self) -> bool:
        return self.columns.wanted == "numbers" or not self.columns.multi_label

    def _list_answers(self, results: Any) -> dict[str, Any]:
        """Return by the name of each control what it holds."""
        if not isinstance(results, list):
            raise AnnotationError("the annotation of this task has no list `result`")
        wanted, answers = ANSWERS[self.columns.wanted], dict[str, Any]()
        for result in results:
            kind = result.get("type") if isinstance(result, dict) else None
            value = result.get("value") if isinstance(result, dict) else None
            if kind in OTHER_LABELS:
                raise AnnotationError(
                    f"an annotation of type {kind} in it marks spans, not {self.columns.wanted} of a text. "
                    "For entities take the task token_classification"
                )
            if kind in wanted and isinstance(value, dict):
                name = str(result.get("from_name", ""))
                answer = value.get(kind)
                if kind == TAXONOMY and isinstance(answer, list):
                    answer = ["/".join(map(str, path)) if isinstance(path, list) else path for path in answer]
                if name in answers and isinstance(answer, list):
                    answer = [*answers[name], *answer]
                answers[name] = answer
        return answers

    def _name_answers(self, answers: dict[str, Any]) -> Record:
        """Return the answers by the names that the parameters have for them."""
        said = self.columns.answers.columns
        if said != AUTO:
            return answers
        if len(answers) > 1:
            parameter = self.columns.answers.parameter
            raise AnnotationError(f"has answers to {', '.join(answers)}: name one with data.{parameter}")
        usual = "label" if self.columns.wanted == "labels" else "target"
        return {usual: next(iter(answers.values()), [] if self.columns.wanted == "labels" else None)}


def _list_kinds(results: Any) -> str:
    """Continue a note with the types of the results of a task, which are none of those that are read."""
    kinds = sorted({str(result.get("type")) for result in results if isinstance(result, dict)})
    return f"; they have {', '.join(kinds)[:80]}" if kinds else ""
