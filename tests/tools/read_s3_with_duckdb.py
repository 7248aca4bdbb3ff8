#!/usr/bin/env python3
"""read_s3_with_duckdb.py ENDPOINT ORIGIN_URL ORIGIN_FOLDER: reads each table of a lake in S3 with DuckDB, and fails where
its rows are not those of a copy on the local disk. The extension comes from PyPI, so nothing is downloaded."""

import glob
import pathlib
import sys

import duckdb
import duckdb_extension_httpfs

endpoint, there, here = sys.argv[1:]
folder = pathlib.Path(duckdb_extension_httpfs.__file__).parent / "extensions" / f"v{duckdb.__version__}"
database = duckdb.connect(config={"autoinstall_known_extensions": False})
database.load_extension(str(folder / "httpfs.duckdb_extension"))
database.execute(f"""
    create secret (type s3, key_id 'test', secret 'test', region 'us-east-1', url_style 'path', use_ssl false,
                   endpoint '{endpoint.removeprefix("http://")}')""")
for table in sorted({pathlib.Path(file).parent.name for file in glob.glob(f"{here}/*/*.parquet")}):
    ours, theirs = f"'{there}/{table}/*.parquet'", f"'{here}/{table}/*.parquet'"
    rows = database.sql(f"select count(*) from {ours}").fetchall()[0][0]
    assert rows == database.sql(f"select count(*) from {theirs}").fetchall()[0][0], table
    for one, other in ((ours, theirs), (theirs, ours)):
        more = database.sql(f"select count(*) from (select * from {one} except all select * from {other})").fetchall()
        assert more == [(0,)], (table, more)
    print(f"{table}: {rows} rows")
