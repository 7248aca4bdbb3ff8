#!/usr/bin/env python3
"""An independent reading of packuments, to check the tables that all-docs made of them.

    check_tables.py FOLDER NDJSON... [--representation full|abbreviated]

FOLDER holds one folder a table with Parquet files (an origin's folder of a lake). NDJSON files hold the documents,
one a line. Each table is compared whole: its columns, its rows as a multiset, and packuments.json byte for byte.
What differs is named, and the exit code is 1. It shares no code and no library with what it checks.
"""
import argparse
import collections
import datetime
import email.utils
import glob
import json
import os
import re
import sys

import pyarrow.parquet as pq

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
INSTALL = ("preinstall", "install", "postinstall")
NUMBER = r"(0|[1-9]\d*)"
PART = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][a-zA-Z0-9-]*)"
SEMVER = re.compile(rf"v?{NUMBER}\.{NUMBER}\.{NUMBER}(?:-({PART}(?:\.{PART})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?", re.A)
COLUMNS = {
    "packuments": "name rev representation size_bytes json bytes",
    "packages": "name scope rev latest description license homepage repository_type repository_url"
    " repository_directory bugs_url author_name author_email author_url keywords readme_filename created_at modified_at"
    " unpublished_at version_count maintainer_count star_count deprecated has_install_script security_holding",
    "versions": "name version version_index is_latest major minor patch prerelease build published_at published_by"
    " published_by_email trusted_publisher license deprecated description funding_url main exports module_type types"
    " has_install_script has_shrinkwrap dependency_count engines_node engines_npm os cpu libc bin tarball_url shasum integrity file_count unpacked_size_bytes"
    " signature_keyids provenance_predicate_type attestations_url git_head npm_version node_version fields",
    "dependencies": "name version is_latest kind dependency requirement optional",
    "dist_tags": "name tag version",
    "maintainers": "name maintainer email",
    "contributors": "name contributor_index contributor email url",
    "scripts": "name version is_latest script command",
    "stars": "name user",
    "unpublished": "name version published_at",
    "quirks": "name version field code",
}
READ_FROM = {str: "read_from_string", list: "read_from_list", dict: "read_from_object", bool: "read_from_boolean",
             int: "read_from_number", float: "read_from_number"}


class Document:
    """The rows that one document should have become."""

    def __init__(self, line, representation):
        self.rows = {table: [] for table in COLUMNS}
        self.line = line
        self.representation = representation
        self.replaced = []
        try:
            self.text = line.decode("utf-8")
        except UnicodeDecodeError:
            self.text = line.decode("utf-8", "replace")
            self.valid = False
        else:
            self.valid = True
        self.name, self.version = None, None

    # -- quirks -----------------------------------------------------------------------------------------------------
    def note(self, field, code, version=...):
        version = self.version if version is ... else version
        self.rows["quirks"].append((self.name, version, field, code))

    # -- plain kinds ------------------------------------------------------------------------------------------------
    def clean(self, text, field):
        if any(c < " " and c in self.raw_controls for c in text):
            self.note(field, "control_character")
        fixed = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if any("\ud800" <= c <= "\udfff" for c in text):
            self.note(field, "lone_surrogate")
            fixed = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
        return fixed

    def string(self, value, field):
        if isinstance(value, str):
            return self.clean(value, field)
        if value is not None:
            self.note(field, "not_a_string")
        return None

    def boolean(self, value, field):
        if isinstance(value, bool) or value is None:
            return value
        self.note(field, "not_a_boolean")
        return None

    def integer(self, value, field):
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
            return value
        if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
            return int(value)
        self.note(field, "not_an_integer")
        return None

    def time(self, value, field, version=...):
        if value is None:
            return None
        micros = parse_time(value) if isinstance(value, str) else None
        if micros is None:
            self.note(field, "not_a_time", version)
        return micros

    def mapping(self, value, field):
        if isinstance(value, dict):
            return {self.clean(key, field): item for key, item in value.items()}
        if value is not None:
            self.note(field, "not_an_object")
        return None

    # -- shapes -----------------------------------------------------------------------------------------------------
    def license(self, owner):
        for field in ("license", "licenses", "licence"):
            text = self.one_license(owner.get(field), field)
            if text is not None:
                if field == "licence":
                    self.note(field, "read_from_other_member")
                return text
        return None

    def one_license(self, value, field):
        def item(one):
            if isinstance(one, dict):
                one = one.get("type")
            return self.clean(one, field) if isinstance(one, str) else None

        if not isinstance(value, list):
            text = item(value)
            if text is None and value is not None:
                self.note(field, "not_a_string")
            return text
        texts = []
        for one in value:
            text = item(one)
            if text is None:
                self.note(field, "item_dropped")
            else:
                texts.append(text)
        if len(texts) > 1:
            self.note(field, "read_from_list")
            return "(" + " OR ".join(texts) + ")"
        return texts[0] if texts else None

    def repository(self, value, field):
        if value is None:
            return None, None, None
        if isinstance(value, str):
            return None, self.clean(value, field), None
        if isinstance(value, list):
            self.note(field, "read_from_list")
            return self.repository(next((one for one in value if isinstance(one, (str, dict))), None), field)
        value = self.mapping(value, field) or {}
        return tuple(self.string(value.get(part), f"{field}.{part}") for part in ("type", "url", "directory"))

    def bugs(self, value):
        if isinstance(value, str):
            text = self.clean(value, "bugs")
            if "@" in text and "://" not in text:
                self.note("bugs", "not_a_url")
                return None
            return text
        value = self.mapping(value, "bugs")
        return self.string(value.get("url"), "bugs.url") if value is not None else None

    def person(self, value, field):
        if value is None:
            return None, None, None
        if isinstance(value, str):
            return person_of_line(self.clean(value, field))
        if isinstance(value, list):
            self.note(field, "read_from_list")
            return self.person(next((one for one in value if isinstance(one, (str, dict))), None), field)
        value = self.mapping(value, field) or {}
        return tuple(self.string(value.get(part), f"{field}.{part}") for part in ("name", "email", "url"))

    def keywords(self, value):
        if value is None:
            return None
        if isinstance(value, str):
            self.note("keywords", "read_from_string")
            words = self.clean(value, "keywords")
            words = words.split(",") if "," in words else words.split()
            return tuple(word.strip() for word in words if word.strip())
        if not isinstance(value, list):
            self.note("keywords", "not_a_list")
            return None
        words = []

        def flatten(items):
            for item in items:
                if isinstance(item, str):
                    words.append(self.clean(item, "keywords"))
                elif isinstance(item, list):
                    self.note("keywords", "read_from_list")
                    flatten(item)
                else:
                    self.note("keywords", "item_dropped")

        flatten(value)
        return tuple(words)

    def texts(self, value, field):
        if value is None:
            return None
        if isinstance(value, str):
            return (self.clean(value, field),)
        if not isinstance(value, list):
            self.note(field, "not_a_list")
            return None
        texts = []
        for one in value:
            if isinstance(one, str):
                texts.append(self.clean(one, field))
            else:
                self.note(field, "item_dropped")
        return tuple(texts)

    def engines(self, value):
        def of_map(item):
            item = self.mapping(item, "engines") or {}
            return self.string(item.get("node"), "engines.node"), self.string(item.get("npm"), "engines.npm")

        if value is None:
            return None, None
        if isinstance(value, dict):
            return of_map(value)
        if not isinstance(value, (str, list)):
            self.note("engines", "not_an_object")
            return None, None
        self.note("engines", READ_FROM[type(value)])
        node = npm = None
        for item in value if isinstance(value, list) else [value]:
            one = two = None
            if isinstance(item, dict):
                one, two = of_map(item)
            elif isinstance(item, str):
                word, rest = re.match(r"([A-Za-z]*)(.*)", self.clean(item, "engines").strip(), re.S).groups()
                one = rest.strip() if word == "node" else None
                two = rest.strip() if word == "npm" else None
            else:
                self.note("engines", "item_dropped")
            node, npm = node if node is not None else one, npm if npm is not None else two
        return node, npm

    def commands(self, value):
        if value is None:
            return None
        if isinstance(value, str):
            return ((self.name.rsplit("/", 1)[-1], self.clean(value, "bin")),)
        if isinstance(value, list):
            self.note("bin", "read_from_list")
            return tuple((path.rsplit("/", 1)[-1], path) for path in self.texts(value, "bin"))
        if not isinstance(value, dict):
            self.note("bin", "not_an_object")
            return None
        commands = []
        for command, path in self.mapping(value, "bin").items():
            if isinstance(path, str):
                commands.append((command, self.clean(path, "bin")))
            else:
                self.note("bin", "item_dropped")
        return tuple(commands)

    def edges(self, value, field):
        """Pairs of dependency and requirement."""
        if isinstance(value, dict):
            pairs = []
            for dependency, requirement in self.mapping(value, field).items():
                if isinstance(requirement, str):
                    requirement = self.clean(requirement, field)
                elif requirement is not None:
                    self.note(f"{field}.{dependency}", "not_a_string")
                    requirement = None
                pairs.append((dependency, requirement))
            return pairs
        specs = []
        if isinstance(value, list):
            self.note(field, "read_from_list")
            for one in value:
                if isinstance(one, str):
                    specs.append(self.clean(one, field))
                else:
                    self.note(field, "item_dropped")
        elif isinstance(value, str):
            text = self.clean(value, field)
            if text.strip():
                self.note(field, "read_from_string")
                specs = re.split(r"[,\s]", text)
            else:
                self.note(field, "not_an_object")
        elif value is not None:
            self.note(field, "not_an_object")
        pairs = {}
        for spec in specs:
            match = re.fullmatch(r"(@?[^@<>=\s]+)(.*)", spec.strip(), re.S)
            if match:
                rest = match[2].strip()
                rest = rest[1:].strip() if rest.startswith("@") else rest
                pairs.setdefault(match[1], rest or None)
        return list(pairs.items())

    def bundled(self, owner):
        names = {}
        for field in ("bundleDependencies", "bundledDependencies"):
            value = owner.get(field)
            if isinstance(value, bool):
                every = owner.get("dependencies")
                found = self.mapping(every, "dependencies") if value and isinstance(every, dict) else {}
            elif isinstance(value, dict):
                self.note(field, "read_from_object")
                found = self.mapping(value, field)
            else:
                found = self.texts(value, field) or ()
            for one in found:
                names.setdefault(one, None)
        return [(one, None) for one in names]

    # -- tables -----------------------------------------------------------------------------------------------------
    def read(self):
        self.raw_controls = set(c for c in self.text if c < " ")
        body, outcome = None, "malformed"
        try:
            body = json.loads(self.text, strict=False, object_pairs_hook=self.last_wins)
        except (ValueError, RecursionError):
            pass
        json_text, other = (self.text, None) if self.valid else (None, self.line)
        known = ("_id", "name", "time", "versions")
        if isinstance(body, dict) and any(body.get(member) is not None for member in known):
            self.name = body.get("name") if isinstance(body.get("name"), str) else ""
            outcome = self.read_body(body)
        rev = body.get("_rev") if isinstance(body, dict) else None
        self.rows["packuments"].append((self.name, rev, self.representation, len(self.line), json_text, other))
        return outcome

    def last_wins(self, pairs):
        result = {}
        for key, value in pairs:
            if key in result:
                self.replaced.append(key)
            result[key] = value
        return result

    def read_body(self, body):
        full = self.representation == "full"
        rows = self.rows
        if not self.valid:
            self.note("json", "invalid_utf8")
        rev = self.string(body.get("_rev"), "_rev")
        member = body.get("name") if body.get("name") is not None else body.get("_id")
        served = self.string(member, "name")
        if served is not None and served != self.name:
            self.note("name", "differs_from_key")

        tags_field = "tags" if body.get("dist-tags") is None and body.get("tags") is not None else "dist-tags"
        if tags_field == "tags":
            self.note("tags", "read_from_other_member")
        latest = None
        for tag, value in (self.mapping(body.get(tags_field), tags_field) or {}).items():
            field = f"{tags_field}.{tag}"
            version = self.first_text(value, field)
            rows["dist_tags"].append((self.name, tag, version))
            latest = version if tag == "latest" else latest

        maintainers = [(self.name, *person[:2]) for person in self.people(body.get("maintainers"), "maintainers")]
        rows["maintainers"].extend(maintainers)
        contributors = self.people(body.get("contributors"), "contributors")
        rows["contributors"].extend((self.name, place, *person) for place, person in enumerate(contributors))
        stars = self.mapping(body.get("users"), "users") or {}
        for user, star in stars.items():
            rows["stars"].append((self.name, user))
            if not star and not isinstance(star, (dict, list)):
                self.note(f"users.{user}", "falsy_star")
        star_count = sum(1 for star in stars.values() if star or isinstance(star, (dict, list)))

        versions = body.get("versions")
        if versions is not None and not isinstance(versions, dict):
            self.note("versions", "not_an_object")
        versions = versions if isinstance(versions, dict) else {}
        versions = {self.clean(key, "versions"): value for key, value in versions.items()}
        times, created, modified, unpublished_at, is_unpublished = self.times(body.get("time"), versions)

        carried, keyed = -(2**63), []
        for place, key in enumerate(versions):
            carried = times[key] if times.get(key) is not None else carried
            keyed.append((carried, place, key))
        order = {key: rank for rank, (_, _, key) in enumerate(sorted(keyed))}

        count, of_latest = 0, (None, None)
        for key, value in versions.items():
            self.version = key
            if not isinstance(value, dict):
                self.note("versions", "not_an_object")
                continue
            count += 1
            facts = self.read_version(key, value, key == latest, order[key], times.get(key))
            of_latest = facts if key == latest else of_latest
        self.version = None

        description = self.string(body.get("description"), "description")
        license = self.license(body)
        homepage = self.first_text(body.get("homepage"), "homepage")
        if body.get("repository") is None and body.get("repositories") is not None:
            self.note("repositories", "read_from_other_member")
            repository = self.repository(body["repositories"], "repositories")
        else:
            repository = self.repository(body.get("repository"), "repository")
        bugs, author, keywords = self.bugs(body.get("bugs")), self.person(body.get("author"), "author"), self.keywords(body.get("keywords"))
        readme_filename = self.string(body.get("readmeFilename"), "readmeFilename")
        if modified is None:
            modified = self.time(body.get("modified"), "modified")
        holding = bool(latest and latest.endswith("-security") and "npm/security-holder" in (repository[1] or "")
                       and any(one[1] == "npm" for one in maintainers))
        scope = re.match(r"@([^/]*)/", self.name)
        rows["packages"].append((
            self.name, scope and scope[1], rev, latest, description, license, homepage, *repository, bugs, *author, keywords,
            readme_filename, created, modified, unpublished_at, count, len(maintainers) if full else None,
            star_count if full else None, *of_latest, holding if full else None))
        for key in self.replaced:
            self.note(key, "duplicate_key")
        return "tombstone" if count == 0 and is_unpublished else "present"

    def first_text(self, value, field):
        if not isinstance(value, list):
            return self.string(value, field)
        self.note(field, "read_from_list")
        first = next((one for one in value if isinstance(one, str)), None)
        return None if first is None else self.clean(first, field)

    def people(self, value, field):
        if value is None:
            return []
        if isinstance(value, dict):
            self.note(field, "read_from_object")
        elif not isinstance(value, (str, list)):
            self.note(field, "not_a_list")
            return []
        people = []
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str):
                self.note(field, "read_from_string")
            elif not isinstance(one, dict):
                self.note(field, "item_dropped")
                continue
            people.append(self.person(one, field))
        return people

    def funding(self, value):
        if isinstance(value, str):
            return self.clean(value, "funding")
        if isinstance(value, list):
            first = None
            for one in value:
                if not isinstance(one, (str, dict)):
                    self.note("funding", "item_dropped")
                elif first is None:
                    first = self.funding(one)
            return first
        return self.string((self.mapping(value, "funding") or {}).get("url"), "funding.url")

    def times(self, value, versions):
        entries = self.mapping(value, "time") or {}
        created = self.time(entries.pop("created", None), "time.created")
        modified = self.time(entries.pop("modified", None), "time.modified")
        gone = entries.pop("unpublished", None)
        is_unpublished, unpublished_at, listed = gone is not None, None, ()
        if isinstance(gone, str):
            unpublished_at = self.time(gone, "time.unpublished")
        elif gone is not None:
            gone = self.mapping(gone, "time.unpublished") or {}
            unpublished_at = self.time(gone.get("time"), "time.unpublished.time")
            listed = self.texts(gone.get("versions"), "time.unpublished.versions") or ()
        times = {key: self.time(stamp, "time", key) for key, stamp in entries.items()}
        forgotten = {key: stamp for key, stamp in times.items() if key not in versions}
        for key in listed:
            if key not in versions and key not in ("created", "modified", "unpublished"):
                forgotten.setdefault(key, None)
        self.rows["unpublished"].extend((self.name, key, stamp) for key, stamp in forgotten.items())
        return times, created, modified, unpublished_at, is_unpublished

    def read_version(self, key, value, is_latest, index, published_at):
        full = self.representation == "full"
        own = self.string(value.get("version"), "version")
        if own is not None and own != key:
            self.note("version", "differs_from_key")
        semver = SEMVER.fullmatch(key) if len(key) <= 256 else None
        if semver and any(int(part) > 2**53 - 1 for part in semver.groups()[:3]):
            semver = None
        if not semver:
            self.note("version", "not_semver")
            parts = (None,) * 5
        else:
            parts = (*map(int, semver.groups()[:3]), semver[4], semver[5])

        user, publisher, trusted = value.get("_npmUser"), (None, None), None
        if isinstance(user, str):
            self.note("_npmUser", "read_from_string")
            publisher = self.person(user, "_npmUser")[:2]
        else:
            user = self.mapping(user, "_npmUser") or {}
            publisher = [self.string(user.get(part), f"_npmUser.{part}") for part in ("name", "email")]
            service = self.mapping(user.get("trustedPublisher"), "_npmUser.trustedPublisher") or {}
            trusted = self.string(service.get("id"), "_npmUser.trustedPublisher.id")

        deprecated = value.get("deprecated")
        if deprecated in (None, False, "", 0) and not isinstance(deprecated, (dict, list)):
            deprecated = None
        elif isinstance(deprecated, str):
            deprecated = self.clean(deprecated, "deprecated")
        else:
            self.note("deprecated", READ_FROM[type(deprecated)])
            deprecated = ""

        runs = False
        scripts = value.get("scripts")
        if scripts is not None and not isinstance(scripts, dict):
            self.note("scripts", "not_an_object")
        elif scripts:
            for script, command in self.mapping(scripts, "scripts").items():
                if isinstance(command, str):
                    command = self.clean(command, "scripts")
                    runs = runs or (command != "" and script in INSTALL)
                elif command is not None:
                    self.note(f"scripts.{script}", "not_a_string")
                    command = None
                self.rows["scripts"].append((self.name, key, is_latest, script, command))
        if not full:
            runs = self.boolean(value.get("hasInstallScript"), "hasInstallScript") or False

        metas = {}
        if value.get("peerDependencies") is not None and isinstance(value["peerDependencies"], dict):
            metas = self.mapping(value.get("peerDependenciesMeta"), "peerDependenciesMeta") or {}
        dependency_count = 0
        for kind, field in (("prod", "dependencies"), ("dev", "devDependencies"), ("peer", "peerDependencies"),
                            ("optional", "optionalDependencies"), ("bundled", None)):
            for dependency, requirement in self.bundled(value) if field is None else self.edges(value.get(field), field):
                optional = None
                dependency_count += kind == "prod"
                if kind == "peer":
                    where = f"peerDependenciesMeta.{dependency}"
                    meta = self.mapping(metas.get(dependency), where) or {}
                    optional = self.boolean(meta.get("optional"), f"{where}.optional") or False
                self.rows["dependencies"].append((self.name, key, is_latest, kind, dependency, requirement, optional))

        license = self.license(value)
        description = self.string(value.get("description"), "description")
        funding = self.funding(value.get("funding"))
        main = self.string(value.get("main"), "main")
        exports = "exports" in value if full else None
        module_type = self.string(value.get("type"), "type")
        types = "types" if value.get("types") is not None else "typings"
        types = self.string(value.get(types), types)
        shrinkwrap = self.boolean(value.get("_hasShrinkwrap"), "_hasShrinkwrap")
        engines = self.engines(value.get("engines"))
        systems = [self.texts(value.get(field), field) for field in ("os", "cpu", "libc")]
        commands = self.commands(value.get("bin"))
        dist = self.mapping(value.get("dist"), "dist") or {}
        archive = [self.string(dist.get(part), f"dist.{part}") for part in ("tarball", "shasum", "integrity")]
        sizes = [self.integer(dist.get(part), f"dist.{part}") for part in ("fileCount", "unpackedSize")]
        signatures = dist.get("signatures")
        if signatures is not None and not isinstance(signatures, list):
            self.note("dist.signatures", "not_a_list")
            signatures = None
        if signatures is not None:
            keys = []
            for one in signatures:
                keyid = self.string((self.mapping(one, "dist.signatures") or {}).get("keyid"), "dist.signatures.keyid")
                keys += [] if keyid is None else [keyid]
            signatures = tuple(keys)
        attestations = self.mapping(dist.get("attestations"), "dist.attestations") or {}
        attested_at = self.string(attestations.get("url"), "dist.attestations.url")
        provenance = self.mapping(attestations.get("provenance"), "dist.attestations.provenance") or {}
        predicate = self.string(provenance.get("predicateType"), "dist.attestations.provenance.predicateType")
        last = [self.string(value.get(field), field) for field in ("gitHead", "_npmVersion", "_nodeVersion")]
        directories = self.mapping(value.get("directories"), "directories") or {}
        fields = (*value, *(f"directories.{one}" for one in directories))
        self.rows["versions"].append((
            self.name, key, index, is_latest, *parts, published_at, *publisher, trusted, license, deprecated, description, funding,
            main, exports, module_type, types, runs, shrinkwrap, dependency_count, *engines, *systems, commands, *archive, *sizes,
            signatures, predicate, attested_at, *last, fields))
        return deprecated, runs


def person_of_line(line):
    def part(pattern):
        found = re.search(pattern, line, re.S)
        return (found[1].strip() or None) if found else None

    return part(r"\A([^<(]*)"), part(r"\A[^<]*<([^>]*)>"), part(r"\A[^(]*\(([^)]*)\)")


def parse_time(text):
    try:
        if re.match(r"[A-Za-z]", text):
            moment = email.utils.parsedate_to_datetime(text)
        else:
            moment = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
        if moment.tzinfo is None:
            return None
    except (ValueError, TypeError):
        return None
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def plain(value):
    """A cell as pyarrow gives it, in the form that the reading above has."""
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // datetime.timedelta(microseconds=1)
    if isinstance(value, list):
        return tuple(tuple(item.values()) if isinstance(item, dict) else item for item in value)
    return value


def actual_rows(folder, table):
    files = sorted(glob.glob(os.path.join(glob.escape(folder), table, "*.parquet")))
    names, rows = None, []
    for file in files:
        data = pq.read_table(file, partitioning=None)
        names = data.column_names if names is None else names
        assert names == data.column_names, f"{file}: its columns differ from those of {files[0]}"
        columns = [[plain(value) for value in column.to_pylist()] for column in data.columns]
        rows.extend(zip(*columns))
    return files, names, rows


def compare(folder, table, expected):
    files, names, rows = actual_rows(folder, table)
    wanted = COLUMNS[table].split()
    if not files:
        return [f"{table}: no files"] if expected else []
    problems = []
    if table == "quirks":
        long = [row for row in rows if len(row[4].encode()) > 200]
        problems += [f"quirks: {len(long)} samples are longer than 200 bytes"] if long else []
        rows, names = [row[:4] for row in rows], names[:4]
    if names != wanted:
        return problems + [f"{table}: columns are {names}, not {wanted}"]
    if "rev" in wanted:
        # A document without a revision counts as at the announced one, which is not in the document.
        at = wanted.index("rev")
        unknown = {row[0] for row in expected if row[at] is None}
        forget = lambda row: (*row[:at], None, *row[at + 1:]) if row[0] in unknown else row
        rows, expected = list(map(forget, rows)), list(map(forget, expected))
    if len(rows) != len(expected):
        problems.append(f"{table}: {len(rows)} rows, not {len(expected)}")
    for at, name in enumerate(wanted):
        have, want = collections.Counter(row[at] for row in rows), collections.Counter(row[at] for row in expected)
        if have != want:
            more, less = list((have - want).items())[:3], list((want - have).items())[:3]
            problems.append(f"{table}.{name}: has {short(more)}, lacks {short(less)}")
    if not problems and collections.Counter(rows) != collections.Counter(expected):
        odd = collections.Counter(rows) - collections.Counter(expected)
        problems.append(f"{table}: columns agree, rows do not: {short(list(odd.items())[:2])}")
    return problems


def short(value):
    text = repr(value)
    return text if len(text) <= 400 else text[:400] + "…"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder")
    arguments.add_argument("ndjson", nargs="+")
    arguments.add_argument("--representation", choices=("full", "abbreviated"), default="full")
    options = arguments.parse_args()
    sys.setrecursionlimit(10_000)
    expected = {table: [] for table in COLUMNS}
    outcomes = collections.Counter()
    for path in options.ndjson:
        with open(path, "rb") as lines:
            for line in lines:
                line = line.rstrip(b"\n")
                if not line:
                    continue
                document = Document(line, options.representation)
                outcomes[document.read()] += 1
                for table, rows in document.rows.items():
                    expected[table].extend(rows)
    problems = []
    folders = {os.path.basename(os.path.dirname(file)) for file in glob.glob(os.path.join(glob.escape(options.folder), "*", "*.parquet"))}
    for table in sorted(folders - set(COLUMNS) - {"docs", "outcomes"}):
        problems.append(f"{table}: this script does not know how its rows are made")
    for table in COLUMNS:
        found = compare(options.folder, table, expected[table])
        problems += found
        print(f"{table:<12} {len(expected[table]):>9} rows  {'DIFFERS' if found else 'same'}")
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
