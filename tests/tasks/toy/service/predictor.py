from collections.abc import Sequence
from pathlib import Path

import numpy as np
from stages.tasks.toy.model.head import predict

from stages.encoding.text_rows import TextEncoder
from stages.encoding.texts import texts_of
from stages.modeling.text_split import TextSplit
from stages.training.trained_model import load_trained


class Predictor:
    def __init__(self, folder: Path) -> None:
        self.trained = load_trained(folder)
        window = self.trained.record.parameters["tokenize"]
        self.encoder = TextEncoder(
            self.trained.tokenizer, length=window["window_length"], overlap=window["window_overlap"], symmetric=False
        )

    def __call__(self, inputs: Sequence[str]) -> list[int]:
        texts = texts_of(self.encoder.encode_inputs(inputs, pairs=False))
        pooling = self.trained.record.parameters["task"]["pooling"]
        split = TextSplit(texts, pooling, np.zeros(len(texts.weight), np.float32))
        predicted = predict(self.trained.model, split, self.trained.compute, batch_tokens=4096)
        return [int(number) for number in predicted]
