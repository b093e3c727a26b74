"""Master weights for tests of training."""

from transformers import PreTrainedModel

from stages.modeling.device import Compute
from stages.modeling.head import Split
from stages.training.optimizer import MasterWeights, find_vocabulary


def make_weights(
    model: PreTrainedModel,
    split: Split,
    compute: Compute,
    *,
    head_lr_multiplier: float = 1.0,
    average_weights: bool = False,
) -> MasterWeights:
    """Those of a model that trains on a split, with one learning rate for all layers."""
    return MasterWeights(
        model,
        compute,
        vocabulary=find_vocabulary(model, split.input_ids),
        weight_decay=0.01,
        layerwise_lr_decay=1.0,
        head_lr_multiplier=head_lr_multiplier,
        average_weights=average_weights,
    )
