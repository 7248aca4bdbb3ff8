//! Prints what changed between two listings of a registry: `cargo run --example diff_two_snapshots [BEFORE AFTER]`.
//!
//! A listing is a file of lines `name,rev`, sorted by the bytes of the names. Without files, the example compares two
//! small listings of its own.
#![allow(clippy::print_stdout)]

use all_docs::diff::{ChangeCounts, diff};
use all_docs::error::{Context, Error, ErrorKind, Result};
use all_docs::npm::{ChangeKind, DocRow};

const MONDAY: &str = "@types/node,2250-a1\nleft-pad,40-7c\nlodash,1100-3e\nlodash-typo,1-09\n";
const TUESDAY: &str = "@types/node,2251-f0\nleft-pad,40-7c\nlodash,1100-3e\nzod,712-5b\n";

fn rows(listing: &str) -> impl Iterator<Item = Result<DocRow>> + '_ {
    listing.lines().filter(|line| !line.is_empty()).map(|line| {
        let (name, rev) = line.rsplit_once(',').ok_or_else(|| Error::input(format!("no comma in {line:?}")))?;
        Ok(DocRow::new(name, rev))
    })
}

fn main() -> Result<()> {
    let read =
        |path: String| std::fs::read_to_string(&path).or_error(ErrorKind::Input, || format!("cannot read {path}"));
    let files = std::env::args().skip(1).map(read).collect::<Result<Vec<_>>>()?;
    let (before, after) = match files.as_slice() {
        [] => (MONDAY, TUESDAY),
        [before, after] => (before.as_str(), after.as_str()),
        _ => return Err(Error::input("give two files or none")),
    };

    let mut counts = ChangeCounts::default();
    for change in diff(rows(before), rows(after)) {
        let change = change?;
        counts.add(change.kind);
        let sign = match change.kind {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed | ChangeKind::Deleted => '-',
        };
        println!("{sign} {} {}", change.name, change.rev);
    }
    println!("{} added, {} changed, {} removed", counts.added, counts.changed, counts.removed);
    Ok(())
}
