//! Odd names, each with an ordinary document: they sort, escape or nest in odd ways, or look like something else.
//!
//! Not here: names that cannot be text. A package called `registry` is impossible too: its address is the description
//! of the replication database.

use super::super::small::small_revision;
use super::{OddDocument, ordinary_document};

/// Rows of the catalogue, and their names.
const NAMES: &[(u8, &[&str])] = &[
    // Properties that JavaScript objects have already.
    (59, &["__proto__", "constructor", "hasOwnProperty", "toString", "@quirk/__proto__"]),
    // Names that are resolved on the way: their addresses are other pages.
    (51, &["@x/..", "@x/.", "..", ".", "@x/../_all_docs", "../quirk", "/quirk", "@x/"]),
    // Names that only look as if they were.
    (51, &["@x/%2e%2e", "@x\\..", "...", "@x/..quirk"]),
    // Names equal but for case, and upper case in front of lower.
    (52, &["Quirk-Case", "quirk-case", "QUIRK-CASE", "@Quirk/Upper", "@quirk/upper", "JSONStreamed"]),
    // Only digits or signs.
    (
        50,
        &[
            "0",
            "007",
            "1e3",
            "-",
            "--",
            "-----quirk-----",
            "~quirk",
            "!quirk",
            "*quirk*",
            "(quirk)",
            "'quirk'",
            "quirk~!*'()",
            ".quirk",
            "_quirk",
            "quirk.js",
        ],
    ),
    // Characters that must be escaped in an address, in JSON or in a file's name.
    (
        50,
        &[
            "quirk space",
            " quirk-leading",
            "quirk-trailing ",
            "quirk%2Fpercent",
            "quirk?query",
            "quirk#fragment",
            "quirk+plus",
            "quirk&and=is;semicolon",
            "quirk/two/slashes",
            "quirk\\back",
            "\"quirk\"",
            "quirk\ttab",
        ],
    ),
    // Beyond ASCII: bytes and UTF-16 order these two differently.
    (50, &["\u{e9}quirk", "\u{ffff}quirk", "\u{1f600}quirk"]),
    // Devices of one operating system, modules of one runtime.
    (50, &["con", "aux.js", "fs"]),
];

pub(super) fn documents() -> impl Iterator<Item = OddDocument> {
    // npm accepts at most 214 characters today; there are longer names from before.
    let long = ["-".repeat(128) + "quirk", format!("@{}/{}", "q".repeat(106), "k".repeat(106)), "long".repeat(100)];
    let short = NAMES.iter().flat_map(|(row, names)| names.iter().map(|name| (*row, (*name).to_owned())));
    short.chain(long.map(|name| (50, name))).map(|(catalogue_row, name)| {
        let revision = small_revision(&name);
        let bytes = ordinary_document(&name, &revision).into_bytes();
        OddDocument { name, catalogue_row, revision, bytes }
    })
}
