"""read_arrays.py ORIGIN_FOLDER EXPECTED_DOWNLOADS: reads the arrays of a lake with zarr-python, xarray, scipy and dask,
and compares each value with one that DuckDB and numpy compute from the tables. EXPECTED_DOWNLOADS is a JSON file of
[name, day, count]. Prints how much was compared."""

import json
import sys

import dask.array
import duckdb
import numpy
import scipy.sparse
import xarray
import zarr

origin = sys.argv[1]
index = duckdb.sql(f"from '{origin}/package_index.parquet' order by row").fetchnumpy()
names = list(index["name"])
assert (index["row"] == numpy.arange(len(names))).all()
rows = dict(zip(names, index["row"]))
compared = []


def opened(name):
    """The group by xarray, and again by zarr alone with and without consolidated metadata; they must agree."""
    path = f"{origin}/{name}.zarr"
    data = xarray.open_zarr(path, create_default_indexes=False)
    for consolidated in (True, False):
        group = zarr.open_group(path, mode="r", use_consolidated=consolidated)
        assert sorted(group.array_keys()) == sorted([*data.data_vars, *data.coords]), group.array_keys()
        for key, array in group.arrays():
            assert array.metadata.dimension_names == data[key].dims, key
            assert array.attrs["description"], key
    assert isinstance(data.attrs["generation"], int)
    return data


def check_releases():
    data = opened("releases")
    found = data.versions_published
    assert found.dims == ("package", "month") and list(data.package.values[: len(names)]) == names
    months = data.month.values
    assert months.dtype.kind == "M" and str(months[0]).startswith("2009-01-01")
    expected = numpy.zeros(found.shape, dtype="int64")
    counts = duckdb.sql(f"""
        select name, (year(t) - 2009) * 12 + month(t) - 1 as month, count(*) as versions
        from (select name, published_at at time zone 'UTC' as t from '{origin}/versions/*.parquet') where t is not null
        group by all""").fetchall()
    for name, month, versions in counts:
        expected[rows[name], month] = versions
    assert str(months[-1])[:7] >= max(str(months[month])[:7] for _, month, _ in counts)
    numpy.testing.assert_array_equal(found.values, expected)
    # The same lazily, through dask, with a sum over packages.
    lazy = dask.array.from_zarr(f"{origin}/releases.zarr", component="versions_published")
    numpy.testing.assert_array_equal(lazy.sum(axis=0).compute(), expected.sum(axis=0))
    compared.append(f"{len(counts)} months with releases")


def check_graph():
    data = opened("dependency_graph")
    nodes = list(data.package.values)
    assert nodes[: len(names)] == names and nodes[len(names):] == sorted(nodes[len(names):], key=str.encode)
    kinds = data.out_kind.attrs["flag_meanings"].split()
    assert list(data.out_kind.attrs["flag_values"]) == list(range(len(kinds)))
    held = {name for (name,) in duckdb.sql(f"select name from '{origin}/docs/*.parquet'").fetchall()}
    assert list(data.in_lake.values) == [name in held for name in nodes]
    edges = duckdb.sql(f"""
        select distinct name, dependency, kind from '{origin}/dependencies/*.parquet' where is_latest""").fetchall()
    places = {name: place for place, name in enumerate(nodes)}
    for direction, ends in (("out", lambda edge: edge[:2]), ("in", lambda edge: edge[1::-1])):
        arrays = [data[f"{direction}_{part}"].values for part in ("kind", "indices", "indptr")]
        codes, indices, indptr = arrays
        assert (indptr.dtype, indices.dtype, codes.dtype) == ("int64", "int32", "uint8")
        sources = numpy.repeat(numpy.arange(len(nodes)), numpy.diff(indptr))
        found = sorted(zip(sources.tolist(), indices.tolist(), codes.tolist()))
        expected = sorted((*(places[name] for name in ends(edge)), kinds.index(edge[2])) for edge in edges)
        assert found == expected, direction
        # scipy takes the arrays as they are, and adds the edges of two kinds.
        matrix = scipy.sparse.csr_array((numpy.ones(len(indices)), indices, indptr), shape=(len(nodes), len(nodes)))
        matrix.check_format(full_check=True)
        assert matrix.sum() == len(edges)
    group = zarr.open_group(f"{origin}/dependency_graph.zarr", mode="r")
    assert group.attrs["packages"] == len(names) and group.attrs["packages_outside"] == len(nodes) - len(names)
    compared.append(f"{len(edges)} edges in both directions")


def check_downloads():
    with open(sys.argv[2]) as file:
        cells = json.load(file)
    data = opened("downloads")
    found = data.downloads
    assert found.dims == ("package", "day") and list(data.package.values) == names
    assert str(data.day.values[0])[:10] == "2015-01-10"
    days = {str(day)[:10]: place for place, day in enumerate(data.day.values)}
    expected = numpy.full(found.shape, numpy.nan)
    for name, day, count in cells:
        expected[rows[name], days[day]] = count
    numpy.testing.assert_array_equal(found.values, expected)
    raw = zarr.open_array(f"{origin}/downloads.zarr/downloads", mode="r")
    assert raw.dtype == "uint32" and raw.fill_value == 2**32 - 1
    assert numpy.count_nonzero(raw[:] != 2**32 - 1) == len(cells)
    name, day, count = cells[0]
    assert found[int(rows[name])].set_xindex("day").sel(day=day) == count
    assert found[int(rows[name]), days[day]] == count
    for state in ("requested_since", "requested_until", "counted_since"):
        values = data[state].values
        assert values.dtype.kind == "M" and numpy.isnat(values).any(), state
    first = {}
    for name, day, count in cells:
        if count > 0:
            first[name] = min(day, first.get(name, day))
    since = {name: str(value)[:10] for name, value in zip(names, data.counted_since.values) if not numpy.isnat(value)}
    assert since == first
    compared.append(f"{len(cells)} known downloads")


check_releases()
check_graph()
check_downloads()
print(f"zarr {zarr.__version__}, xarray {xarray.__version__}: {', '.join(compared)}")
