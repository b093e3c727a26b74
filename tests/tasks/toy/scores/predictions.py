from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.artifacts import read_versioned_parquet, write_versioned_parquet


def write_predictions(path: Path, splits: dict[str, pa.Table]) -> None:
    """Write tables with the columns text, gold and predicted."""
    tables = [
        table.append_column("split", pa.array([split] * len(table), pa.string())) for split, table in splits.items()
    ]
    write_versioned_parquet(path, tables, format_version=1)


def read_predictions(path: Path) -> dict[str, pa.Table]:
    with read_versioned_parquet(path, format_version=1, stage="evaluate") as (table, _):
        return {
            split: table.filter(pc.equal(table["split"], split)).combine_chunks()
            for split in table["split"].unique().to_pylist()
        }
