"""The tokenizer is the one that AutoTokenizer loads, and does not cost an import of torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from stages.config.model import ModelParams
from stages.encoding.tokenizer import load_tokenizer, tokenizer_digest
from stages.errors import PretrainedError
from stages.modeling.pretrained import find_pretrained
from stages.params import read_document
from tests.checkouts import ROOT


@pytest.fixture(params=["tiny", "demo"])
def folder(request: pytest.FixtureRequest, tiny_pretrained: Path) -> Path:
    if request.param == "tiny":
        return tiny_pretrained
    shipped = ModelParams(**read_document(ROOT / "params.yaml")["model"])
    return find_pretrained(**shipped.encoder)


def test_load_tokenizer_loads_what_auto_tokenizer_does(folder: Path, tmp_path: Path) -> None:
    auto = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, add_prefix_space=True)
    auto.backend_tokenizer.no_padding()
    auto.backend_tokenizer.no_truncation()
    loaded = load_tokenizer(folder)
    assert type(loaded) is type(auto)
    assert tokenizer_digest(loaded) == tokenizer_digest(auto)
    for name, tokenizer in (("loaded", loaded), ("auto", auto)):
        tokenizer.save_pretrained(tmp_path / name)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("loaded", "auto")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "named_class", [None, "BertTokenizerFast", "RobertaTokenizer", "PreTrainedTokenizerFast", "path"]
)
def test_load_tokenizer_loads_what_auto_tokenizer_does_whatever_class_is_named(
    tiny_pretrained: Path, tmp_path: Path, named_class: str | None
) -> None:
    folder = shutil.copytree(tiny_pretrained, tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")) | {
        "tokenizer_class": named_class
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    try:
        auto = AutoTokenizer.from_pretrained(folder, local_files_only=True, add_prefix_space=True)
    except ValueError:
        with pytest.raises(PretrainedError, match="no usable tokenizer"):
            load_tokenizer(folder)
        return
    auto.backend_tokenizer.no_padding()
    auto.backend_tokenizer.no_truncation()
    loaded = load_tokenizer(folder)
    assert type(loaded) is type(auto)
    assert tokenizer_digest(loaded) == tokenizer_digest(auto)


PROGRAM = """
import sys
from pathlib import Path
from stages import tokenize
from stages.encoding.rows import Encoder
from stages.encoding.text_rows import TextEncoder
from stages.encoding.vocabulary import Vocabulary
from stages.task import load_part, task_names

for task in task_names():
    load_part(task, "data.corpus")
tokenizer = tokenize.load_tokenizer(Path(sys.argv[1]))
Encoder(Vocabulary(tokenizer), length=32, overlap=8, context="sentence")
TextEncoder(tokenizer, length=32, overlap=8)
print([name for name in ("torch", "mlflow") if name in sys.modules])
"""


def test_tokenize_does_not_import_torch(tiny_pretrained: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tiny_pretrained)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert finished.stdout == "[]\n"
