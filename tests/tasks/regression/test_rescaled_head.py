"""A model of numbers that goes on with numbers of another scale answers as before, until it has learnt more."""

from pathlib import Path
from types import SimpleNamespace

import torch

from stages.modeling.classifier import load_classifier
from stages.modeling.device import Compute
from stages.tasks.regression.model.head import make_head

CPU = Compute(torch.device("cpu"), torch.float32)


def test_head_answers_the_same_numbers_in_the_new_scale(tiny_pretrained: Path, tmp_path: Path) -> None:
    old, now = {"days": [5.0, 2.0], "price": [100.0, 30.0]}, {"days": [8.0, 4.0], "weight": [1.0, 1.0]}
    model = load_classifier(tiny_pretrained, labels=list(old))
    model.config.update({"scales": old})
    model.save_pretrained(tmp_path)
    ids = torch.tensor([[2, 7, 9, 3]])
    days = model.eval()(ids).logits[..., 0] * 2.0 + 5.0
    found = load_classifier(tmp_path, labels=list(now))
    drawn = found.classifier.weight[1].clone()
    manifest = SimpleNamespace(details={"config": {"scales": now}})
    make_head(found, None, manifest, CPU, label_smoothing=0.0)
    torch.testing.assert_close(found.eval()(ids).logits[..., 0] * 4.0 + 8.0, days)
    assert torch.equal(found.classifier.weight[1], drawn)
