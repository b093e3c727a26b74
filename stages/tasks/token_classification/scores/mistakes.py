"""The kinds of mistakes of a tagger, in the strict reading of entities.

Shape legend: E entities of one tagging, W words of the split.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.tasks.token_classification.scores.entities import Entities, Floats, Numbers, Tagging, ratios

# The relations of a gold and a predicted entity that share a word, the best first.
RELATIONS = ("correct", "type", "boundary", "boundary_and_type")
UNMATCHED = len(RELATIONS)  # shares no word with any: `missed` if it is gold, `spurious` if it is predicted
MISSED, SPURIOUS = "missed", "spurious"
NOTHING = "nothing"

ENTITY_LENGTHS = {"1": (1, 1), "2": (2, 2), "3": (3, 3), "4": (4, 4), "5+": (5, None)}
SENTENCE_LENGTHS = {"1-10": (1, 10), "11-20": (11, 20), "21-30": (21, 30), "31-40": (31, 40), "41+": (41, None)}


@dataclass(frozen=True)
class Matching:
    """For each entity of one side its relation to the best of the other side: an index of RELATIONS, or UNMATCHED.

    `partner_E` is the number of that other entity, -1 if there is none.
    """

    relation_E: Numbers
    partner_E: Numbers


def match_entities(gold: Entities, predicted: Entities, words: int) -> tuple[Matching, Matching]:
    """Find the best partner of each gold and of each predicted entity in a split of so many words.

    Of equally good partners it is the one with more common words, then the first.
    """
    gold_W = np.full(words, -1)
    entity, word = gold.words
    gold_W[word] = entity
    predicted_entity, word = predicted.words
    gold_entity = gold_W[word]
    shared = gold_entity >= 0
    pairs, common = np.unique(gold_entity[shared] * len(predicted) + predicted_entity[shared], return_counts=True)
    one, other = np.divmod(pairs, max(1, len(predicted)))
    same_span = (gold.first_E[one] == predicted.first_E[other]) & (gold.after_E[one] == predicted.after_E[other])
    same_type = gold.type_E[one] == predicted.type_E[other]
    relation = np.where(same_span, np.where(same_type, 0, 1), np.where(same_type, 2, 3))
    return _best(one, other, relation, common, len(gold)), _best(other, one, relation, common, len(predicted))


def count_kinds(gold: Matching, predicted: Matching) -> dict[str, dict[str, int]]:
    """Count the gold and the predicted entities in each relation."""
    counts = {}
    for name, matching, unmatched in (("of_gold", gold, MISSED), ("of_predicted", predicted, SPURIOUS)):
        numbers = np.bincount(matching.relation_E, minlength=UNMATCHED + 1).tolist()
        counts[name] = dict(zip((*RELATIONS, unmatched), numbers, strict=True))
    return counts


def confusion(
    types: tuple[str, ...], gold: Entities, predicted: Entities, of_gold: Matching, of_predicted: Matching
) -> dict[str, Any]:
    """Count gold types (rows) by the types of their partners; the last column is missed, the last row spurious."""
    nothing = len(types)
    partner_type = np.append(predicted.type_E, nothing)[of_gold.partner_E]
    counts = np.zeros((nothing + 1, nothing + 1), dtype=np.int64)
    np.add.at(counts, (gold.type_E, partner_type), 1)
    np.add.at(counts, (nothing, predicted.type_E[of_predicted.relation_E == UNMATCHED]), 1)
    return {"types": [*types, NOTHING], "counts": counts.tolist()}


def surfaces(entities: Entities, words: pa.ListArray) -> pa.StringArray:
    """The words of each entity, joined by spaces; `words` holds those of each sentence of the split."""
    _, word = entities.words
    offsets = np.append(0, np.cumsum(entities.length_E)).astype(np.int32)
    of_entity = pa.ListArray.from_arrays(offsets, words.flatten().take(pa.array(word)))
    return pc.binary_join(of_entity, " ")


def seen_recall(
    gold: Entities, predicted: Entities, gold_surfaces: pa.Array, train_surfaces: pa.Array
) -> dict[str, Any]:
    """Recall of the gold entities whose words, as written, are an entity of train, of any type, and of the others."""
    seen_E = pc.is_in(gold_surfaces, value_set=train_surfaces).to_numpy(zero_copy_only=False).astype(bool)
    found_E = gold.is_in(predicted)
    return {
        name: {"recall": float(found_E[chosen].mean()) if chosen.any() else 0.0, "support": int(chosen.sum())}
        for name, chosen in (("seen", seen_E), ("unseen", ~seen_E))
    }


def by_entity_length(gold: Entities, predicted: Entities) -> list[dict[str, Any]]:
    """Precision among predicted and recall among gold entities of each length in words."""
    return _by_length(gold, predicted, gold.length_E, predicted.length_E, ENTITY_LENGTHS)


def by_sentence_length(gold: Entities, predicted: Entities, tagging: Tagging) -> list[dict[str, Any]]:
    """Scores over the sentences of each length in words."""
    lengths = np.diff(tagging.bounds)
    return _by_length(gold, predicted, lengths[gold.sentence_E], lengths[predicted.sentence_E], SENTENCE_LENGTHS)


def entity_scores(entities: Entities, probability_W: npt.NDArray[np.float32]) -> Floats:
    """The mean probability of the tags of each entity's words."""
    summed = np.append(0.0, np.cumsum(probability_W, dtype=np.float64))
    score_E: Floats = (summed[entities.after_E] - summed[entities.first_E]) / entities.length_E
    return score_E


def _best(one: Numbers, other: Numbers, relation: Numbers, common: Numbers, count: int) -> Matching:
    order = np.lexsort((other, -common, relation, one))
    entity, first = np.unique(one[order], return_index=True)
    best = order[first]
    relation_E, partner_E = np.full(count, UNMATCHED), np.full(count, -1)
    relation_E[entity], partner_E[entity] = relation[best], other[best]
    return Matching(relation_E, partner_E)


def _by_length(
    gold: Entities, predicted: Entities, gold_length_E: Numbers, predicted_length_E: Numbers, ranges: dict[str, Any]
) -> list[dict[str, Any]]:
    correct_E = predicted.is_in(gold)
    rows = []
    for name, (low, high) in ranges.items():
        of_gold, of_predicted = (
            (lengths >= low) & (lengths <= (high or np.inf)) for lengths in (gold_length_E, predicted_length_E)
        )
        counts = (correct_E & of_predicted).sum(), of_predicted.sum(), of_gold.sum()
        precision, recall, f1 = (float(value[0]) for value in ratios(*(np.array([count]) for count in counts)))
        rows.append({"length": name, "precision": precision, "recall": recall, "f1": f1, "support": int(counts[2])})
    return rows
