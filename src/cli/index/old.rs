//! Reads an older index in order, each name once, in constant memory. The file need not be sorted: those of the system
//! that this one replaces are not.

use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::path::Path;

use super::IndexFormat;
use super::line::{is_whole, read_row, write_row};
use crate::error::{Context, Doing, ErrorKind, Result};
use crate::npm::DocRow;
use crate::text::{self, LineEnds};

/// Rows that are sorted in memory at once, about 100 MB. A file that is not sorted becomes runs of this many rows.
const RUN_ROWS: usize = 500_000;

type Rows = Box<dyn Iterator<Item = Result<DocRow>>>;

/// Returns the rows of an index file, strictly ascending by name. It keeps one row of a name that comes twice.
///
/// Fails with [`ErrorKind::Input`] for a file that cannot be read, and for a line that is no row; the error names the
/// line's number.
pub(super) fn read_index(path: &Path) -> Result<Rows> {
    read_in_runs(path, RUN_ROWS)
}

fn read_in_runs(path: &Path, run_rows: usize) -> Result<Rows> {
    if is_sorted(path)? {
        return rows_of(path);
    }
    let mut runs: Vec<Rows> = Vec::new();
    let mut rows = rows_of(path)?;
    loop {
        let mut run: Vec<DocRow> = rows.by_ref().take(run_rows).collect::<Result<_>>()?;
        if run.is_empty() {
            break;
        }
        run.sort_by(|one, other| one.name.cmp(&other.name));
        runs.push(on_disk(&run)?);
    }
    Ok(Box::new(Merge::new(runs)?))
}

fn is_sorted(path: &Path) -> Result<bool> {
    let mut last: Option<DocRow> = None;
    for row in rows_of(path)? {
        let row = row?;
        if last.is_some_and(|last| last.name >= row.name) {
            return Ok(false);
        }
        last = Some(row);
    }
    Ok(true)
}

fn rows_of(path: &Path) -> Result<Rows> {
    let reader = text::open(path, "index", LineEnds::Unified)?;
    let path = path.to_owned();
    Ok(Box::new(rows_in(reader).map(move |row| row.doing(|| format!("reading the index {}", path.display())))))
}

fn rows_in(mut reader: impl BufRead) -> impl Iterator<Item = Result<DocRow>> {
    let mut number = 0_u64;
    let mut is_over = false;
    std::iter::from_fn(move || {
        while !is_over {
            let mut line = String::new();
            loop {
                number += 1;
                let read = reader.read_line(&mut line);
                match read.map_err(|error| text::unwrapped(error, || format!("cannot read line {number}"))) {
                    Ok(0) => is_over = true,
                    Ok(_) if !is_whole(&line) => continue,
                    Ok(_) => {}
                    Err(error) => {
                        is_over = true;
                        return Some(Err(error));
                    }
                }
                break;
            }
            let row = read_row(&line).doing(|| format!("reading line {number}")).transpose();
            if row.is_some() {
                is_over |= matches!(row, Some(Err(_)));
                return row;
            }
        }
        None
    })
}

/// Writes a sorted run to a temporary file, which is deleted with its reader.
fn on_disk(rows: &[DocRow]) -> Result<Rows> {
    let cannot = || "cannot write a temporary file to sort the index in".to_owned();
    let mut file = tempfile::tempfile().or_error(ErrorKind::Input, cannot)?;
    let mut output = BufWriter::new(&mut file);
    for row in rows {
        write_row(&mut output, IndexFormat::Csv, row.name.as_str(), row.rev.as_str())
            .or_error(ErrorKind::Input, cannot)?;
    }
    output.flush().or_error(ErrorKind::Input, cannot)?;
    drop(output);
    file.rewind().or_error(ErrorKind::Input, cannot)?;
    Ok(Box::new(rows_in(BufReader::new(file))))
}

/// Sorted runs as one sequence, each name once.
struct Merge {
    runs: Vec<Rows>,
    /// The next row of each run, the smallest on top.
    next: BinaryHeap<std::cmp::Reverse<Next>>,
    last: Option<DocRow>,
}

/// The next row of the run with this index.
struct Next {
    row: DocRow,
    run: usize,
}

impl Merge {
    fn new(runs: Vec<Rows>) -> Result<Merge> {
        let mut merge = Merge { runs, next: BinaryHeap::new(), last: None };
        for run in 0..merge.runs.len() {
            merge.refill(run)?;
        }
        Ok(merge)
    }

    fn refill(&mut self, run: usize) -> Result<()> {
        if let Some(row) = self.runs.get_mut(run).and_then(Iterator::next).transpose()? {
            self.next.push(std::cmp::Reverse(Next { row, run }));
        }
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = Result<DocRow>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let std::cmp::Reverse(Next { row, run }) = self.next.pop()?;
            if let Err(error) = self.refill(run) {
                self.next.clear();
                return Some(Err(error));
            }
            if self.last.as_ref().is_none_or(|last| last.name < row.name) {
                self.last = Some(row.clone());
                return Some(Ok(row));
            }
        }
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.row.name.cmp(&other.row.name).then(self.run.cmp(&other.run))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Next {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn any_order_is_read_in_order_and_each_name_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let names: Vec<String> = (0..1_000).map(|n| format!("n,{:04}", n * 7919 % 1_000)).collect();
        let line = |name: &String| format!("\"{name}\",1-x\n");
        std::fs::write(file.path(), names.iter().chain(&names[..3]).map(line).collect::<String>()).unwrap();
        for run_rows in [1_003, 10, 333] {
            let rows: Vec<DocRow> = read_in_runs(file.path(), run_rows).unwrap().map(Result::unwrap).collect();
            assert_eq!(rows.len(), 1_000);
            assert!(rows.windows(2).all(|pair| pair[0].name < pair[1].name));
        }
    }

    #[test]
    fn a_line_that_is_not_a_row_is_reported_by_its_number() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a,1-x\nnonsense\n").unwrap();
        let error = read_index(file.path()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.report().contains("line 2"), "{}", error.report());
    }
}
