"""read_lake.py ORIGIN_FOLDER: reads each table of a lake by a plain glob with DuckDB, pandas and pyarrow, and fails
where they disagree with each other or with the types that the README promises."""

import glob
import pathlib
import sys

import duckdb
import pandas
import pyarrow.dataset

TYPES = {
    "docs": {"name": "VARCHAR", "rev": "VARCHAR", "rev_generation": "BIGINT"},
    "packages": {
        "keywords": "VARCHAR[]",
        "created_at": "TIMESTAMP WITH TIME ZONE",
        "version_count": "BIGINT",
        "security_holding": "BOOLEAN",
    },
    "versions": {
        "published_at": "TIMESTAMP WITH TIME ZONE",
        "is_latest": "BOOLEAN",
        "os": "VARCHAR[]",
        'bin': 'STRUCT("name" VARCHAR, path VARCHAR)[]',
        "unpacked_size_bytes": "BIGINT",
        "dependency_count": "BIGINT",
        "exports": "BOOLEAN",
    },
    "contributors": {"contributor_index": "BIGINT", "url": "VARCHAR"},
}

origin = sys.argv[1]
# The tables are the folders with shards; the caller looks whether each of them is told of.
for table in sorted({pathlib.Path(file).parent.name for file in glob.glob(f"{origin}/*/*.parquet")}):
    pattern = f"{origin}/{table}/*.parquet"
    files = sorted(glob.glob(pattern))
    rows = duckdb.sql(f"select count(*) from '{pattern}'").fetchall()[0][0]
    frame = pandas.concat([pandas.read_parquet(file) for file in files], ignore_index=True)
    dataset = pyarrow.dataset.dataset(f"{origin}/{table}", format="parquet")
    assert len(frame) == rows == dataset.count_rows(), (table, len(frame), rows, dataset.count_rows())
    types = {name: kind for name, kind, *_ in duckdb.sql(f"describe select * from '{pattern}'").fetchall()}
    for column, kind in TYPES.get(table, {}).items():
        assert types[column] == kind, (table, column, types[column], kind)
    for column in types:
        nulls = duckdb.sql(f"select count(*) from '{pattern}' where \"{column}\" is null").fetchall()[0][0]
        assert nulls == int(frame[column].isna().sum()), (table, column, nulls, int(frame[column].isna().sum()))
    names = [name for (name,) in duckdb.sql(f"select name from '{pattern}'").fetchall()]
    per_file = [duckdb.sql(f"select name from '{file}'").fetchall() for file in files]
    for file, found in zip(files, per_file):
        assert found == sorted(found, key=lambda row: row[0].encode()), f"{file} is not sorted by name"
    assert len(names) == rows
    print(f"{table}: {rows} rows, {len(types)} columns in {len(files)} shards")
