"""The sections of params.yaml that evaluate reads."""

from pydantic import Field

from stages.modeling.precision import Precision
from stages.params import RuntimeParams, Section


class EvaluateParams(Section):
    """How a trained model is scored."""

    batch_tokens: int = Field(ge=16)
    precision: Precision


class Params(Section):
    """The sections that evaluate reads."""

    evaluate: EvaluateParams
    runtime: RuntimeParams
