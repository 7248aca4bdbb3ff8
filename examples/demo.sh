#!/usr/bin/env bash
# The demo of the README: crawls the built-in sample registry into a lake, and asks it which packages others depend on.
set -euo pipefail
cd "$(dirname "$0")/.."
lake=target/demo
run() { printf '\n$ all-docs %s\n' "$*"; "${CARGO_TARGET_DIR:-target}/debug/all-docs" "$@"; }

rm -rf "$lake"
# Exit code 6 says that some names have no document: the sample has a few of those on purpose, as npm has.
run ingest --pivots examples/pivots.json --origin sample --lake "$lake" || [ $? -eq 6 ]
run status --lake "$lake"
run query --lake "$lake" "
  select d.dependency as package, count(*) as dependents, p.license, p.latest, p.created_at::date as since
  from dependencies d left join packages p on p.name = d.dependency
  where d.is_latest and d.kind = 'prod'
  group by d.dependency, p.license, p.latest, p.created_at order by dependents desc, package limit 12"
