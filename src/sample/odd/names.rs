//! Odd names, each with an ordinary document: what sorts, escapes, nests and looks like something else.
//!
//! Not here: names that cannot be text. A package called `registry` has no place either: its address is the
//! description of the replication database.

use super::super::small::small_revision;
use super::{OddDocument, ordinary_document};

const NAMES: [&str; 47] = [
    // What JavaScript objects have already.
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "toString",
    "@quirk/__proto__",
    // What is resolved on the way: the addresses of these are other pages.
    "@x/..",
    "@x/.",
    "..",
    ".",
    // Equal but for case, and upper case in front of lower.
    "Quirk-Case",
    "quirk-case",
    "QUIRK-CASE",
    "@Quirk/Upper",
    "@quirk/upper",
    "JSONStreamed",
    // Nothing but digits or signs.
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
    // What must be escaped in an address, in JSON or in a file's name.
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
    // Beyond ASCII: bytes and UTF-16 order these two differently.
    "\u{e9}quirk",
    "\u{ffff}quirk",
    "\u{1f600}quirk",
    // Devices of one operating system.
    "con",
    "aux.js",
];

pub(super) fn documents() -> impl Iterator<Item = OddDocument> {
    let long = ["-".repeat(128) + "quirk", format!("@{}/{}", "q".repeat(106), "k".repeat(106))];
    NAMES.iter().map(|name| (*name).to_owned()).chain(long).map(|name| {
        let revision = small_revision(&name);
        let bytes = ordinary_document(&name, &revision).into_bytes();
        OddDocument { name, catalogue_row: 0, revision, bytes }
    })
}
