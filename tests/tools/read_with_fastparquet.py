#!/usr/bin/env python3
"""read_with_fastparquet.py ORIGIN_FOLDER: reads each shard of a lake with fastparquet, and fails where a value differs from
what pyarrow reads. fastparquet has no lists of structures and reads `bin` as nulls, so that column is left out."""

import datetime
import glob
import pathlib
import sys

import fastparquet
import pandas
import pyarrow.parquet

origin = sys.argv[1]


def plain(value):
    """A value that is the same for both readers: null as None, a time as microseconds, a list as a list."""
    if isinstance(value, (list, tuple)) or hasattr(value, "tolist") and getattr(value, "ndim", 0):
        return [plain(item) for item in value]
    if value is None or pandas.isna(value):
        return None
    if isinstance(value, (pandas.Timestamp, datetime.datetime)):
        return int(pandas.Timestamp(value).as_unit("us").asm8.view("i8"))
    if isinstance(value, bytes):
        return value
    return value.item() if hasattr(value, "item") else value


for table in sorted({pathlib.Path(file).parent.name for file in glob.glob(f"{origin}/*/*.parquet")}):
    rows = 0
    for file in sorted(glob.glob(f"{origin}/{table}/*.parquet")):
        ours = fastparquet.ParquetFile(file).to_pandas()
        theirs = pyarrow.parquet.read_table(file)
        assert list(ours.columns) == theirs.column_names, (file, list(ours.columns))
        assert len(ours) == theirs.num_rows, (file, len(ours), theirs.num_rows)
        for column in theirs.column_names:
            if column != "bin":
                one = [plain(value) for value in ours[column]]
                values = theirs.column(column)
                # Python's own times end with the year 9999.
                is_time = pyarrow.types.is_timestamp(values.type)
                other = [plain(value) for value in (values.cast("int64") if is_time else values).to_pylist()]
                place = next((place for place, pair in enumerate(zip(one, other)) if pair[0] != pair[1]), None)
                assert place is None, (file, column, place, one[place], other[place])
        rows += len(ours)
    print(f"{table}: {rows} rows")
