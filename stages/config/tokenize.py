"""The sections of params.yaml that tokenize reads."""

from stages.config.model import ModelParams
from stages.params import Section, TaskParams, WindowParams


class Params(Section):
    """The sections that tokenize reads; those of task, data and tokenize get their fields from the task.

    Of `model` it reads the encoder alone: the rest is checked, and changes nothing.
    """

    task: TaskParams
    data: Section
    model: ModelParams
    tokenize: WindowParams
