"""read_lake.py ORIGIN_FOLDER: reads each table of a lake by a plain glob with DuckDB, pandas, Polars and pyarrow, and
fails where they disagree with each other or with the types that the README promises.

read_lake.py ORIGIN_FOLDER --mixed TABLE: reads a table whose shards have different columns, by the names of the columns."""

import glob
import pathlib
import sys

import duckdb
import pandas
import polars
import pyarrow.dataset
import pyarrow.parquet

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
if sys.argv[2:3] == ["--mixed"]:
    table = sys.argv[3]
    files = sorted(glob.glob(f"{origin}/{table}/*.parquet"))
    schemas = [pyarrow.parquet.read_schema(file) for file in files]
    columns = {column for schema in schemas for column in schema.names}
    assert any(set(schema.names) != columns for schema in schemas), "the shards have the same columns"
    by_name = duckdb.read_parquet(files, union_by_name=True)
    rows = sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)
    frame = pandas.concat([pandas.read_parquet(file) for file in files], ignore_index=True)
    lazy = polars.concat([polars.scan_parquet(file) for file in files], how="diagonal").collect()
    assert len(frame) == rows == len(lazy) == by_name.count("*").fetchall()[0][0]
    assert columns == set(by_name.columns) == set(frame.columns) == set(lazy.columns)
    for column in columns:
        nulls = duckdb.sql(f'select count(*) from by_name where "{column}" is null').fetchall()[0][0]
        assert nulls == int(frame[column].isna().sum()) == lazy[column].null_count(), column
    print(f"{table}: {rows} rows, {len(columns)} columns in {len(files)} shards of different columns")
    sys.exit()

# The tables are the folders with shards; the caller looks whether each of them is told of.
for table in sorted({pathlib.Path(file).parent.name for file in glob.glob(f"{origin}/*/*.parquet")}):
    pattern = f"{origin}/{table}/*.parquet"
    files = sorted(glob.glob(pattern))
    rows = duckdb.sql(f"select count(*) from '{pattern}'").fetchall()[0][0]
    frame = pandas.concat([pandas.read_parquet(file) for file in files], ignore_index=True)
    dataset = pyarrow.dataset.dataset(f"{origin}/{table}", format="parquet")
    lazy = polars.scan_parquet(pattern).collect()
    counts = (len(frame), rows, dataset.count_rows(), len(lazy))
    assert len(set(counts)) == 1, (table, counts)
    types = {name: kind for name, kind, *_ in duckdb.sql(f"describe select * from '{pattern}'").fetchall()}
    for column, kind in TYPES.get(table, {}).items():
        assert types[column] == kind, (table, column, types[column], kind)
    for column in types:
        nulls = duckdb.sql(f"select count(*) from '{pattern}' where \"{column}\" is null").fetchall()[0][0]
        counts = (nulls, int(frame[column].isna().sum()), lazy[column].null_count())
        assert len(set(counts)) == 1, (table, column, counts)
    names = [name for (name,) in duckdb.sql(f"select name from '{pattern}'").fetchall()]
    per_file = [duckdb.sql(f"select name from '{file}'").fetchall() for file in files]
    for file, found in zip(files, per_file):
        assert found == sorted(found, key=lambda row: row[0].encode()), f"{file} is not sorted by name"
    assert len(names) == rows
    print(f"{table}: {rows} rows, {len(types)} columns in {len(files)} shards")
