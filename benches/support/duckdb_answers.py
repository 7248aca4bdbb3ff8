#!/usr/bin/env python3
"""DuckDB over the shards of a lake, one thread, as a process that is asked statements.

    duckdb_answers.py ORIGIN_FOLDER

Reads {"sql": …, "ours": PATH or null} a line; writes {"seconds": …, "difference": …} a line. `ours` is a Parquet file
with the rows that another engine answered, in their order; `difference` says what is different, or is null. Settings
are DuckDB's own; ALL_DOCS_DUCKDB_SET holds more of them, such as "parquet_metadata_cache = true".
"""
import json
import os
import pathlib
import sys
import time

import duckdb
import pyarrow.parquet

origin = pathlib.Path(sys.argv[1])
connection = duckdb.connect()
for setting in ["threads = 1", "TimeZone = 'UTC'", *filter(None, os.environ.get("ALL_DOCS_DUCKDB_SET", "").split(";"))]:
    connection.execute(f"set {setting}").fetchall()
for table in sorted(folder for folder in origin.iterdir() if any(folder.glob("*.parquet"))):
    connection.execute(f"create view {table.name} as select * from read_parquet('{table}/*.parquet')").fetchall()


def difference(theirs, path):
    ours = pyarrow.parquet.read_table(path)
    if ours.num_rows != theirs.num_rows:
        return f"{ours.num_rows} rows, DuckDB has {theirs.num_rows}"
    for place, (one, other) in enumerate(zip(ours.to_pylist(), theirs.to_pylist())):
        if list(one.values()) != list(other.values()):
            return f"row {place} is {one}, DuckDB has {other}"
    return None


for line in sys.stdin:
    question = json.loads(line)
    started = time.perf_counter()
    rows = connection.sql(question["sql"]).to_arrow_table()
    seconds = time.perf_counter() - started
    found = difference(rows, question["ours"]) if question["ours"] else None
    print(json.dumps({"seconds": seconds, "difference": found}), flush=True)
