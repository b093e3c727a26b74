"""The sections of params.yaml that tokenize reads."""

from stages.params import PretrainedParams, Section, TaskParams, WindowParams


class Params(Section):
    """The sections that tokenize reads; those of task, data and tokenize get their fields from the task."""

    task: TaskParams
    data: Section
    model: PretrainedParams
    tokenize: WindowParams
