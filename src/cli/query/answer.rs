//! Runs statements and writes their results to standard output, to a file, or through a pager.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::pager::Pager;
use crate::cli::log;
use crate::cli::output_file;
use crate::cli::printer::Printer;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::query::{BoundSql, Format, Session, TableOptions, Written, write};

/// Bytes that are buffered before they go to the output.
const OUTPUT_BUFFER_BYTES: usize = 1 << 16;

/// Writes the results of statements, with their destination and format.
pub(super) struct Answers<'a> {
    session: &'a Session,
    printer: &'a Printer,
    /// The output format.
    pub(super) format: Format,
    output: Option<PathBuf>,
    /// Notes that were printed: each is printed once.
    noted: BTreeSet<String>,
    /// Whether a table longer than the screen goes through a pager.
    pub(super) paged: bool,
}

impl<'a> Answers<'a> {
    /// Takes the format of that name, else the one of the output file's suffix, else a table.
    pub(super) fn new(
        session: &'a Session,
        printer: &'a Printer,
        format: Option<&str>,
        output: Option<&Path>,
    ) -> Result<Self> {
        let output = output_file::named(output);
        let format = match (format, output) {
            (Some(name), _) => name.parse()?,
            (None, Some(path)) => by_suffix(path)?,
            (None, None) => Format::Table,
        };
        if format.is_binary() && output.is_none() && io::stdout().is_terminal() {
            return Err(Error::input(format!("{format} is not for a terminal")).hint("add --output FILE"));
        }
        Ok(Answers {
            session,
            printer,
            format,
            output: output.map(Path::to_owned),
            noted: BTreeSet::new(),
            paged: false,
        })
    }

    /// Whether results go to a file.
    pub(super) fn goes_to_file(&self) -> bool {
        self.output.is_some()
    }

    /// Runs one statement and writes its result, or prints its plan.
    pub(super) async fn answer_or_explain(&mut self, statement: &BoundSql, explain: bool) -> Result<()> {
        if explain {
            let plan = self.session.explain_bound(statement).await?;
            return self.printer.result(&format!("{plan}\n"));
        }
        self.answer(statement).await
    }

    /// Runs one statement and writes its result.
    pub(super) async fn answer(&mut self, statement: &BoundSql) -> Result<()> {
        let doing = || "querying the lake".to_owned();
        match self.output.clone() {
            Some(path) => {
                let cannot_write = || format!("cannot write {}", path.display());
                let (file, naming) = output_file::create(&path)?;
                let mut output = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, file);
                let written = self.write(statement, &mut output).await.doing(doing)?;
                output.flush().or_error(ErrorKind::Input, cannot_write)?;
                drop(output);
                naming.finish()?;
                self.printer.note(&format!("{} rows written to {}", log::count(written.rows), path.display()));
            }
            None if self.paged && self.format == Format::Table => {
                let mut output = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, Pager::new());
                self.write(statement, &mut output).await.doing(doing)?;
                // The user may have left the pager before the last row.
                if let Ok(pager) = output.into_inner() {
                    pager.finish();
                }
            }
            None => {
                let mut output = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, io::stdout());
                self.write(statement, &mut output).await.doing(doing)?;
                // The reader may have closed the pipe after the last row that it wanted.
                let _ = output.flush();
            }
        }
        Ok(())
    }

    async fn write(&mut self, statement: &BoundSql, output: &mut (dyn Write + Send)) -> Result<Written> {
        let width = if self.output.is_some() { None } else { self.printer.stdout_width() };
        let options = TableOptions { width, styled: self.printer.stdout_width().is_some() };
        let rows = self.session.query_bound(statement).await?;
        for note in rows.notes() {
            if self.noted.insert(note.clone()) {
                self.printer.note(&format!("note: {note}"));
            }
        }
        write(rows, self.format, output, &options).await
    }
}

/// Returns the format that a file's suffix names; a table if there is no suffix, or one of plain text.
fn by_suffix(path: &Path) -> Result<Format> {
    let Some(suffix) = path.extension().map(|suffix| suffix.to_string_lossy()) else { return Ok(Format::Table) };
    if matches!(suffix.as_ref(), "txt" | "md" | "log") {
        return Ok(Format::Table);
    }
    suffix.parse().map_err(|_| {
        let names = Format::ALL.map(Format::as_str).join(", ");
        Error::input(format!("the suffix .{suffix} of {} names no output format", path.display()))
            .hint(format!("add --format: one of {names}"))
    })
}
