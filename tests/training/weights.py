"""Master weights for tests of training."""

import numpy as np
import torch
from transformers import PreTrainedModel

from stages.encoding.files import EncodedSplit
from stages.modeling.device import Compute
from stages.training.optimizer import MasterWeights


def make_weights(
    model: PreTrainedModel,
    split: EncodedSplit,
    compute: Compute,
    *,
    head_lr_multiplier: float = 1.0,
    average_weights: bool = False,
) -> MasterWeights:
    """Those of a model that trains on a split, with one learning rate for all layers."""
    return MasterWeights(
        model,
        compute,
        vocabulary=torch.from_numpy(np.unique(split.input_ids)).long(),
        weight_decay=0.01,
        layerwise_lr_decay=1.0,
        head_lr_multiplier=head_lr_multiplier,
        average_weights=average_weights,
    )
