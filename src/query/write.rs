//! Writes a result in a format, batch by batch as it comes, so memory does not grow with the rows.
//!
//! Not here: CSV (`csv_output`), the table for a person (`terminal_table`), the types that each format can hold (`output_columns`).

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use arrow::error::ArrowError;
use arrow::json::writer::{JsonFormat, LineDelimited, WriterBuilder as JsonWriterBuilder};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result};

use super::batch_writer::{BatchWriter, Stopped};
use super::csv_output::CsvOutput;
use super::format::Format;
use super::json_value::JsonValues;
use super::output_columns::OutputColumns;
use super::query_stream::QueryStream;
use super::terminal_table::{TableOptions, TerminalTable};

/// The size at which a row group of a Parquet output is closed, so rows of any size cannot fill memory.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// The outcome of writing a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows that were written to the output.
    pub rows: u64,
    /// Whether the reader of a pipe closed it before the end, as `head` does. That is no error.
    pub reader_left: bool,
}

/// Writes all of `stream` to `out` as `format`. `table` is only for [`Format::Table`].
///
/// Fails with the stream's own error, and with [`crate::error::ErrorKind::Input`] if `out` cannot be written or the
/// format cannot hold a column. Rows that were written before stay written.
pub async fn write(
    mut stream: QueryStream,
    format: Format,
    out: &mut (dyn Write + Send),
    table: &TableOptions,
) -> Result<Written> {
    let columns = OutputColumns::new(&stream.schema(), format);
    let broken = Arc::new(OnceLock::new());
    let mut out = Watched { out, broken: Arc::clone(&broken) };
    let mut rows = 0;
    let run = async {
        let mut writer = open(format, &columns, &mut out, table)?;
        while let Some(batch) = stream.next().await {
            let batch = columns.fit(&batch?)?;
            rows += batch.num_rows() as u64;
            writer.write(&batch)?;
        }
        writer.finish()
    };
    let end = run.await.and_then(|()| out.flush().map_err(Stopped::from));
    match (end, broken.get()) {
        (Ok(()), _) => Ok(Written { rows, reader_left: false }),
        (Err(Stopped::Query(error)), _) => Err(error),
        (Err(Stopped::Output(_)), Some(io::ErrorKind::BrokenPipe)) => Ok(Written { rows, reader_left: true }),
        (Err(Stopped::Output(cause)), Some(_)) => Err(Error::input("cannot write the result").source(cause)),
        (Err(Stopped::Output(cause)), None) => Err(Error::input(format!("{format} cannot hold the result"))
            .hint("cast the column to text, or take another --format")
            .source(cause)),
    }
}

/// An output that remembers the kind of its error: some formats' writers keep only the error's message.
struct Watched<'a> {
    out: &'a mut (dyn Write + Send),
    broken: Arc<OnceLock<io::ErrorKind>>,
}

impl Watched<'_> {
    fn note<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.broken.get_or_init(|| error.kind());
            }
        })
    }
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.out.write(bytes);
        self.note(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.out.flush();
        self.note(done)
    }
}

fn open<'a>(
    format: Format,
    columns: &OutputColumns,
    out: &'a mut (dyn Write + Send),
    table: &TableOptions,
) -> Result<Box<dyn BatchWriter + 'a>, Stopped> {
    let json = || JsonWriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(JsonValues));
    Ok(match format {
        Format::Table => Box::new(TerminalTable::new(columns.schema(), out, table)),
        Format::Csv => Box::new(CsvOutput::new(columns.schema(), out)?),
        Format::Json => Box::new(JsonOutput(json().build::<_, ObjectALine>(out))),
        Format::Ndjson => Box::new(JsonOutput(json().build::<_, LineDelimited>(out))),
        Format::Parquet => {
            let zstd = Compression::ZSTD(ZstdLevel::default());
            let properties = WriterProperties::builder().set_compression(zstd).build();
            Box::new(ParquetOutput(ArrowWriter::try_new(out, Arc::clone(columns.schema()), Some(properties))?))
        }
    })
}

/// A JSON array with one object per line: one document for a program, lines for a person.
#[derive(Debug, Default)]
struct ObjectALine;

impl JsonFormat for ObjectALine {
    fn start_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"[")?)
    }

    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        Ok(writer.write_all(if is_first_row { b"\n" } else { b",\n" })?)
    }

    fn end_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"\n]\n")?)
    }
}

struct JsonOutput<'a, F: JsonFormat>(arrow::json::Writer<&'a mut (dyn Write + Send), F>);

impl<F: JsonFormat + Send> BatchWriter for JsonOutput<'_, F> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Stopped> {
        Ok(self.0.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Stopped> {
        Ok(self.0.finish()?)
    }
}

struct ParquetOutput<'a>(ArrowWriter<&'a mut (dyn Write + Send)>);

impl BatchWriter for ParquetOutput<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Stopped> {
        self.0.write(batch)?;
        if self.0.in_progress_size() >= ROW_GROUP_BYTES {
            self.0.flush()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Stopped> {
        self.0.close()?;
        Ok(())
    }
}
