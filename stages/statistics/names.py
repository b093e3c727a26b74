"""What scores are called in prose."""

SHORT_NAMES = {
    "f1": "F1", "r2": "R²", "rmse": "RMSE", "mae": "MAE",
    "pearson": "Pearson", "spearman": "Spearman", "matthews": "Matthews",
}  # fmt: skip


def shorten_score(name: str) -> str:
    """What a score is called in prose: `F1` for entity_strict/micro/f1, `macro F1` for macro_f1."""
    return " ".join(SHORT_NAMES.get(word, word) for word in name.rpartition("/")[2].split("_"))


def title_score(name: str) -> str:
    """The same at the start of a title: `Macro F1`."""
    short = shorten_score(name)
    return short[:1].upper() + short[1:]
