import pytest

from pipeline.corpora.download import DATA_EXTENSIONS, SPLIT_FOLDERS, recorded, without_credentials
from stages.corpus.folder import ALIASES, FORMATS


@pytest.mark.parametrize(
    ("source", "shown", "kept"),
    [
        ("data/x.conll", "data/x.conll", "data/x.conll"),
        ("/home/anna/x.conll", "/home/anna/x.conll", "x.conll"),
        ("file:///home/anna/corpus/", "file:///home/anna/corpus/", "corpus"),
        ("~/corpus", "~/corpus", "corpus"),
        ("https://anna:pw@host:80/a@b/x", "https://host:80/a@b/x", "https://host:80/a@b/x"),
        ("https://host/x?id=3&X-Amz-Signature=f&api_key=k", "https://host/x?id=3", "https://host/x?id=3"),
        ("https://host/x?token=t", "https://host/x", "https://host/x"),
        ("hf://datasets/a/b@main/c", "hf://datasets/a/b@main/c", "hf://datasets/a/b@main/c"),
        ("github://owner:repo@main/x", "github://owner:repo@main/x", "github://owner:repo@main/x"),
        ("zip://a.conll::/home/anna/c.zip", "zip://a.conll::/home/anna/c.zip", "zip://a.conll::c.zip"),
        (
            "zip://a.conll::https://t@host/c.zip",
            "zip://a.conll::https://host/c.zip",
            "zip://a.conll::https://host/c.zip",
        ),
    ],
)
def test_recorded_source_tells_neither_secrets_nor_this_machine(source: str, shown: str, kept: str) -> None:
    assert without_credentials(source) == shown
    assert recorded(source) == kept


def test_names_of_data_are_those_that_the_readers_know() -> None:
    assert set(DATA_EXTENSIONS) == set(FORMATS)
    assert set(SPLIT_FOLDERS) == set(ALIASES)
