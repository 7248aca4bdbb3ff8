#!/usr/bin/env python3
"""DuckDB's own reading of packuments, against what all-docs made of them.

    check_duckdb.py FOLDER NDJSON

FOLDER is an origin's folder of a lake, NDJSON the documents as served, one a line. DuckDB decodes the documents with its
own JSON reader; what it makes of each table is compared as a multiset with a plain glob over the shards. It takes each
field in its documented form only: where a document has another, check_tables.py says what its column must be.
"""
import sys

import duckdb

folder, source = sys.argv[1:]
duckdb.sql("set TimeZone = 'UTC'; set threads = 2; set memory_limit = '4GB'")
duckdb.sql(f"""
    create table documents as
    select json ->> '$.name' as name, json from read_ndjson_objects('{source}', maximum_object_size = 67108864)""")
duckdb.sql("""
    create table times as
    select name, entry.key as version, try_cast(entry.value ->> '$' as timestamptz) as published_at
    from (select name, unnest(map_entries(cast(json -> '$.time' as map(varchar, json)))) as entry
          from documents where json_type(json -> '$.time') = 'OBJECT')""")
duckdb.sql("""
    create table latest as
    select name, json ->> '$."dist-tags".latest' as version, true as is_latest from documents""")
duckdb.sql("""
    create table entries as
    select name, entry.key as version, entry.value as value
    from (select name, unnest(map_entries(cast(json -> '$.versions' as map(varchar, json)))) as entry
          from documents where json_type(json -> '$.versions') = 'OBJECT')""")
MEMBERS = " union all ".join(
    f"""select name, version, '{kind}' as kind, unnest(map_entries(
            cast(value -> '$.{field}' as map(varchar, json)))) as edge
        from entries where json_type(value -> '$.{field}') = 'OBJECT'"""
    for kind, field in (("dev", "devDependencies"), ("peer", "peerDependencies"))
)
READINGS = {
    "packuments": ("name, md5(json)", "select name, md5(json::varchar) from documents"),
    "packages": (
        "name, version_count, created_at, star_count",
        """select name,
               case json_type(json -> '$.versions') when 'OBJECT' then len(json_keys(json -> '$.versions')) else 0 end,
               try_cast(json ->> '$.time.created' as timestamptz),
               case json_type(json -> '$.users') when 'OBJECT' then len(json_keys(json -> '$.users')) else 0 end
           from documents""",
    ),
    "versions": (
        "name, version, is_latest, published_at, shasum, tarball_url, unpacked_size_bytes, git_head, npm_version",
        """select name, version, coalesce(is_latest, false), published_at, shasum, tarball, size, git_head, npm
           from (select name, version, value ->> '$.dist.shasum' as shasum, value ->> '$.dist.tarball' as tarball,
                     try_cast(value ->> '$.dist.unpackedSize' as bigint) as size, value ->> '$.gitHead' as git_head,
                     value ->> '$._npmVersion' as npm
                 from entries)
           left join times using (name, version) left join latest using (name, version)""",
    ),
    "dist_tags": (
        "name, tag, version",
        """select name, tag.key, tag.value from (
               select name, unnest(map_entries(cast(json -> '$."dist-tags"' as map(varchar, varchar)))) as tag
               from documents where json_type(json -> '$."dist-tags"') = 'OBJECT')""",
    ),
    "dependencies": (
        "name, version, is_latest, kind, dependency, requirement",
        f"""select name, version, coalesce(is_latest, false), kind, edge.key, edge.value ->> '$'
            from ({MEMBERS}) left join latest using (name, version)""",
    ),
    "scripts": (
        "name, version, script, command",
        """select name, version, script.key,
               case json_type(script.value) when 'VARCHAR' then script.value ->> '$' end
           from (select name, version, unnest(map_entries(cast(value -> '$.scripts' as map(varchar, json)))) as script
                 from entries where json_type(value -> '$.scripts') = 'OBJECT')""",
    ),
}
ONLY = {"dependencies": "where kind in ('dev', 'peer')"}

failed = False
for table, (columns, reading) in READINGS.items():
    ours = f"select {columns} from '{folder}/{table}/*.parquet' {ONLY.get(table, '')}"
    counts = [duckdb.sql(f"select count(*) from ({rows})").fetchall()[0][0] for rows in (ours, reading)]
    more = duckdb.sql(f"({ours}) except all ({reading}) limit 3").fetchall()
    less = duckdb.sql(f"({reading}) except all ({ours}) limit 3").fetchall()
    same = not more and not less and counts[0] == counts[1]
    failed |= not same
    print(f"{table:<12} {counts[0]:>9} rows, DuckDB reads {counts[1]:>9}: {'same' if same else 'DIFFERS'}")
    for label, rows in (("has", more), ("lacks", less)):
        for row in rows:
            print(f"  {label} {str(row)[:400]}")
sys.exit(failed)
