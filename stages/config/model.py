"""The section `model` of params.yaml: the pretrained encoder, and what of it is trained."""

from typing import Annotated, Any, Literal

from pydantic import Field

from stages.params import PretrainedParams, Section


class LoraParams(Section):
    """The adapters of `adapt: lora`."""

    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)
    targets: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)]
    dropout: float = Field(ge=0, le=0.99)
    lr_multiplier: float = Field(gt=0)


class ModelParams(PretrainedParams):
    """The pretrained encoder, and what is trained beside the head."""

    adapt: Literal["full", "lora", "freeze", "head"]
    freeze: int = Field(ge=0)
    lora: LoraParams

    @property
    def encoder(self) -> dict[str, Any]:
        """What `find_pretrained` takes."""
        return self.model_dump(include=set(PretrainedParams.model_fields))

    @property
    def adaptation(self) -> dict[str, Any]:
        """What `adapt_model` takes: the way to adapt, and of the other fields only the one of that name, if any."""
        return self.model_dump(include={"adapt", self.adapt})
