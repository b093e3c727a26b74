from stages.corpus.examples.readers.params import Answers, Column, ExampleDataParams
from stages.params import Section, WindowParams


class DataParams(ExampleDataParams):
    target: Column

    @property
    def answers(self) -> Answers:
        return Answers("target", self.target)


SECTIONS: dict[str, type[Section]] = {"data": DataParams, "tokenize": WindowParams}
