#!/usr/bin/env python3
"""read_s3.py ENDPOINT ORIGIN_URL ORIGIN_FOLDER: reads each table of a lake in S3 with pyarrow and with Polars, and fails
where its rows are not those of a copy on the local disk."""

import glob
import pathlib
import sys

import polars
import pyarrow.dataset
import pyarrow.fs

endpoint, there, here = sys.argv[1:]
keys = {"access_key": "test", "secret_key": "test", "region": "us-east-1"}
s3 = pyarrow.fs.S3FileSystem(endpoint_override=endpoint.removeprefix("http://"), scheme="http", **keys)
options = {
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
    "aws_region": "us-east-1",
    "aws_endpoint_url": endpoint,
    "aws_allow_http": "true",
}
for table in sorted({pathlib.Path(file).parent.name for file in glob.glob(f"{here}/*/*.parquet")}):
    dataset = pyarrow.dataset.dataset(f"{there.removeprefix('s3://')}/{table}", filesystem=s3, format="parquet")
    expected = pyarrow.dataset.dataset(f"{here}/{table}", format="parquet").to_table()
    assert dataset.to_table().equals(expected), table
    lazy = polars.scan_parquet(f"{there}/{table}/*.parquet", storage_options=options).collect()
    assert lazy.equals(polars.scan_parquet(f"{here}/{table}/*.parquet").collect()), table
    print(f"{table}: {len(lazy)} rows")
