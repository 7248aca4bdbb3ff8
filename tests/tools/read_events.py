"""read_events.py ORIGIN_FOLDER: reads the events of a lake by a plain glob with DuckDB, pandas, Polars and pyarrow, and
fails unless all read the same rows."""

import glob
import sys

import duckdb
import pandas
import polars
import pyarrow.parquet

days = sys.argv[1] + "/events/*.parquet"
ids = {
    "duckdb": [row[0] for row in duckdb.sql(f"select id from '{days}' order by seen_at, name").fetchall()],
    "pandas": list(pandas.concat(pandas.read_parquet(path) for path in sorted(glob.glob(days)))["id"]),
    "polars": polars.read_parquet(days)["id"].to_list(),
    "pyarrow": [id for path in sorted(glob.glob(days)) for id in pyarrow.parquet.read_table(path)["id"].to_pylist()],
}
for tool, read in ids.items():
    assert sorted(read) == sorted(ids["duckdb"]), tool
    assert len(set(read)) == len(read), tool
kinds = duckdb.sql(f"select count(distinct event) from '{days}'").fetchall()[0][0]
assert kinds > 20, kinds
print(f"{len(ids['duckdb'])} events of {kinds} kinds")
