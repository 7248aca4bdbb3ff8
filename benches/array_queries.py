"""array_queries.py BINARY LAKE [ROUNDS]: SQL over the arrays that `benches/arrays.rs` has written. Prints the least and the
median wall time of each statement in milliseconds, each in a process of its own, without the time of `select 1`."""

import json
import pathlib
import statistics
import subprocess
import sys
import time

binary, lake, rounds = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 5
info = lake / "all-docs.json"
if not info.exists():
    npm = {"replicate_url": "http://127.0.0.1/", "registry_url": "http://127.0.0.1/"}
    text = {"format_version": 2, "tool_version": "0.2.0", "default_origin": "npm", "origins": {"npm": npm}}
    info.write_text(json.dumps(text))


def ask(sql):
    command = [binary, "query", "--lake", str(lake), "--format", "csv", sql]
    started = time.perf_counter()
    output = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    assert output.returncode == 0, output.stderr
    return seconds, output.stdout.splitlines()[1:]


def names(condition):
    _, found = ask(f"select name from package_index where {condition} order by row limit 1000")
    return ", ".join(f"'{name}'" for name in found)


last = ask("select max(day) from downloads")[1][0]
rows = int(ask("select count(*) from package_index")[1][0])
first_1000, scattered = names("row < 1000"), names(f"row % {max(rows // 1000, 1)} = 0")
one = first_1000.split(", ")[700]
five_years = f"day > date '{last}' - interval '5 years'"
statements = {
    "one package": f"select sum(downloads) from downloads where name = {one}",
    "one package, one year": f"select sum(downloads) from downloads where name = {one} and day > date '{last}' - interval '1 year'",
    "the first 1,000 packages, 5 years": f"select name, sum(downloads) from downloads where name in ({first_1000}) and {five_years} group by name",
    "1,000 scattered packages, 5 years": f"select name, sum(downloads) from downloads where name in ({scattered}) and {five_years} group by name",
    "1,000 packages by a join, 5 years": f"select d.name, sum(d.downloads) from downloads d join (select name from package_index where row < 1000) p using (name) where {five_years} group by 1",
    "all packages, one day": f"select sum(downloads) from downloads where day = date '{last}'",
    "the last day": "select max(day) from downloads",
    "10 rows": "select * from downloads limit 10",
    "most downloaded of 30 days": f"select name, sum(downloads) from downloads where day > date '{last}' - interval '30 days' group by name order by 2 desc limit 20",
    "the graph: dependencies of one": f"select dependency from graph where name = {one}",
    "the graph: dependents of one": f"select name from graph where dependency = {one}",
    "the graph: most depended upon": "select dependency, count(*) from graph group by 1 order by 2 desc limit 20",
}
start = min(ask("select 1")[0] for _ in range(rounds))
print(f"{rows:,} packages; the process alone takes {start * 1000:.0f} ms")
for what, sql in statements.items():
    times = [ask(sql)[0] - start for _ in range(rounds)]
    print(f"{what:36} {min(times) * 1000:8.0f} ({statistics.median(times) * 1000:.0f})")
