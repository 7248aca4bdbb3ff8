"""check_array_tables.py ORIGIN_FOLDER RESULTS_FOLDER: compares the rows that SQL returned, in CSV files of the second folder,
with those that numpy and DuckDB compute from the arrays as zarr reads them and from the tables. Prints what was compared."""

import collections
import csv
import datetime
import sys

import duckdb
import numpy
import zarr

origin, results = sys.argv[1], sys.argv[2]
UNKNOWN = 2**32 - 1
EPOCH = datetime.date(1970, 1, 1)
compared = []


def returned(name):
    with open(f"{results}/{name}.csv", newline="") as file:
        rows = list(csv.reader(file))
    return [tuple(row) for row in rows[1:]]


def group(name):
    return zarr.open_group(f"{origin}/{name}.zarr", mode="r")


def dates(array):
    return [EPOCH + datetime.timedelta(days=int(day)) for day in array[:]]


def compare(name, found, expected):
    found, expected = sorted(map(tuple, found)), sorted(map(tuple, expected))
    assert found == expected, f"{name}: {len(found)} rows for {len(expected)}: {set(found) ^ set(expected)}"[:2000]
    assert expected, f"{name} has no rows"
    compared.append(f"{len(expected)} rows of {name}")


def cells(name, array, axis, is_row):
    data = group(name)
    names, days, values = list(data["package"][:]), dates(data[axis]), data[array][:]
    rows, columns = numpy.nonzero(is_row(values))
    return [(names[row], days[column], int(values[row, column])) for row, column in zip(rows, columns)]


downloads = cells("downloads", "downloads", "day", lambda values: values != UNKNOWN)
assert any(count == 0 for _, _, count in downloads)
compare("downloads", returned("downloads"), [(name, str(day), str(count)) for name, day, count in downloads])
releases = cells("releases", "versions_published", "month", lambda values: values != 0)
compare("releases", returned("releases"), [(name, str(month), str(count)) for name, month, count in releases])

graph = group("dependency_graph")
names, kinds = list(graph["package"][:]), graph["out_kind"].attrs["flag_meanings"].split()
indptr, indices, codes = (graph[f"out_{part}"][:] for part in ("indptr", "indices", "kind"))
sources = numpy.repeat(numpy.arange(len(names)), numpy.diff(indptr))
edges = [(names[one], names[other], kinds[code]) for one, other, code in zip(sources, indices, codes)]
compare("graph", returned("graph"), edges)

db = duckdb.connect()
db.execute("create table downloads (name varchar, day date, downloads bigint)")
db.executemany("insert into downloads values (?, ?, ?)", downloads)
for table in ("packages", "versions", "maintainers"):
    db.execute(f"create view {table} as from read_parquet('{origin}/{table}/*.parquet')")
newest = max(day for _, day, _ in downloads)
db.execute(f"set variable newest = date '{newest}'")
index = db.sql(f"select name, row from '{origin}/package_index.parquet'").fetchall()
compare("package_index", returned("package_index"), [(name, str(row)) for name, row in index])


def texts(rows, digits=9):
    def text(value):
        if isinstance(value, float):
            return f"{value:.{digits}g}"
        return "" if value is None else str(value)
    return [tuple(text(value) for value in row) for row in rows]


def rounded(rows, columns, digits=9):
    return [tuple(f"{float(value):.{digits}g}" if place in columns and value else value
                  for place, value in enumerate(row)) for row in rows]


def compare_in_order(name, found, expected):
    assert found == expected, f"{name}: {[pair for pair in zip(found, expected) if pair[0] != pair[1]][:3]}"
    assert expected, f"{name} has no rows"
    compared.append(f"{len(expected)} rows of {name}")


compare("join", returned("join"), texts(db.sql("""
    select p.name, sum(d.downloads) from downloads d join packages p using (name)
    where d.day >= date '2026-01-01' and p.deprecated is not null group by 1""").fetchall()))
month = "day > getvariable('newest') - 30"
compare_in_order("most_downloaded", returned("most_downloaded"), texts(db.sql(f"""
    select name, sum(downloads), count(*) from downloads where {month} group by name order by 2 desc, 1 limit 100
    """).fetchall()))
one = returned("downloads_of_name")[0][0]
compare_in_order("downloads_of", returned("downloads_of"), texts(db.execute(
    "select day, downloads from downloads where name = ? and day >= '2026-10-01' order by day", [one]).fetchall()))

# By hand, not by another SQL: the mean of the known days of the last week, and of the four weeks before.
of_name = collections.defaultdict(lambda: ([], []))
for name, day, count in downloads:
    ago = (newest - day).days
    if ago < 35:
        of_name[name][0 if ago < 7 else 1].append(count)
trends = []
for name, (last, before) in of_name.items():
    if last and before and sum(before) / len(before) >= 100:
        means = sum(last) / len(last), sum(before) / len(before)
        trends.append((-means[0] / means[1], name, *means))
trends = [(name, last, before, -growth) for growth, name, last, before in sorted(trends)][:100]
compare_in_order("trending", rounded(returned("trending"), {1, 2, 3}), texts(trends))

compare_in_order("abandoned_but_used", rounded(returned("abandoned_but_used"), set()), texts(db.sql(f"""
    with used as (select name, sum(downloads) as n from downloads where {month} group by name),
    released as (select name, max(published_at at time zone 'UTC') as at from versions group by name)
    select name, n, strftime(at, '%Y-%m-%dT%H:%M:%S'), deprecated
    from used join packages using (name) left join released using (name)
    where n >= 1 and (deprecated is not null or at < getvariable('newest') - interval 2 year)
    order by n desc, name limit 100""").fetchall()))
everything = sum(count for _, day, count in downloads if (newest - day).days < 30)
compare_in_order("bus_factor", rounded(returned("bus_factor"), {3}), texts([
    (user, packages, int(count), 100 * int(count) / everything) for user, packages, count in db.sql(f"""
        with used as (select name, sum(downloads) as n from downloads where {month} group by name),
        alone as (select name, any_value(maintainer) as user from maintainers group by name having count(*) = 1)
        select user, count(*), sum(n) from used join alone using (name) where user is not null
        group by user order by 3 desc, 1 limit 100""").fetchall()]))
print("; ".join(compared))
