import pytest

from pipeline.corpora.download import DATA_EXTENSIONS, SPLIT_FOLDERS, remove_credentials, to_portable_source
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
def test_portable_source_has_neither_secrets_nor_local_folders(source: str, shown: str, kept: str) -> None:
    assert remove_credentials(source) == shown
    assert to_portable_source(source) == kept


def test_data_extensions_are_those_of_the_readers() -> None:
    assert set(DATA_EXTENSIONS) == set(FORMATS)
    assert set(SPLIT_FOLDERS) == set(ALIASES)
