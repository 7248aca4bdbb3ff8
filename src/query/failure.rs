//! Converts errors met while a statement runs into [`Error`]. Not here: errors in the statement itself (`mistake`).

use std::error::Error as StdError;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use object_store::path::Path as ObjectPath;
use parquet::errors::ParquetError;

use super::cause::find;
#[cfg(feature = "distributed")]
use super::fleet::LostWorker;
use super::way_out;
use crate::error::{Error, ErrorKind, is_out_of_files, system_error};

/// The hint for a damaged file.
const VERIFY: &str = "all-docs verify names every file that is damaged; all-docs verify --repair makes shards again, and moves events aside";

/// A shard that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{shard} {fault}")]
pub(super) struct ShardFault {
    shard: String,
    fault: Fault,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("vanished while it was read")]
    Vanished,
    #[error("was replaced while it was read")]
    Replaced,
    #[error("cannot be read")]
    Unreadable,
    #[error("is damaged")]
    Damaged,
    #[error("is gone, and its manifest names it")]
    Lost,
    #[error("is empty, and its manifest says that it is not")]
    Empty,
    #[error("is not as the record of the overlay says")]
    Unrecorded,
    #[error("is of a delta, but the record of the overlay is gone")]
    WithoutRecord,
    #[error("was written by a newer version of all-docs")]
    Newer,
}

impl ShardFault {
    /// Makes a fault of an error that the store reported.
    pub(super) fn of_store(shard: &ObjectPath, error: object_store::Error) -> Self {
        let fault = fault_of(&error);
        ShardFault { shard: shard.to_string(), fault, source: Some(Box::new(error)) }
    }

    /// Makes a fault of an error met while reading from an open file.
    pub(super) fn of_file(shard: &ObjectPath, error: std::io::Error) -> Self {
        // Without a number of the system, the file ended early: another program made it shorter.
        let fault = if error.raw_os_error().is_some() { Fault::Unreadable } else { Fault::Damaged };
        ShardFault { shard: shard.to_string(), fault, source: Some(Box::new(error)) }
    }

    /// Makes a fault of an error met while reading a footer: it could not be read, or the bytes are no footer.
    pub(super) fn of_footer(shard: &ObjectPath, error: ParquetError) -> ParquetError {
        match find::<ShardFault>(&error) {
            Some(_) => error,
            None => {
                ShardFault { shard: shard.to_string(), fault: Fault::Damaged, source: Some(Box::new(error)) }.into()
            }
        }
    }

    /// Makes the fault of a shard that has another version than before.
    pub(super) fn of_replaced(shard: &ObjectPath) -> Self {
        ShardFault { shard: shard.to_string(), fault: Fault::Replaced, source: None }
    }

    /// Makes the fault of a shard that a manifest names, and that is not there, or `is_empty`.
    pub(super) fn of_lost(shard: &ObjectPath, is_empty: bool) -> Self {
        let fault = if is_empty { Fault::Empty } else { Fault::Lost };
        ShardFault { shard: shard.to_string(), fault, source: None }
    }

    /// Makes the fault of the manifest of a delta that is not there, or is another one than the record says.
    pub(super) fn of_unrecorded(manifest: &ObjectPath) -> Self {
        ShardFault { shard: manifest.to_string(), fault: Fault::Unrecorded, source: None }
    }

    /// Finds a fault in the text of an error: a worker sends its errors as texts.
    #[cfg(feature = "distributed")]
    fn of_text(text: &str) -> Option<ShardFault> {
        let found = |fault: Fault| {
            let (before, _) = text.split_once(&format!(" {fault}"))?;
            let shard = before.rsplit([' ', ':']).next().unwrap_or_default();
            let is_file = shard.ends_with(".parquet") || shard.ends_with(".json");
            is_file.then(|| ShardFault { shard: shard.to_owned(), fault, source: None })
        };
        use Fault::{Damaged, Empty, Lost, Newer, Replaced, Unreadable, Unrecorded, Vanished, WithoutRecord};
        let all = [Vanished, Replaced, Unreadable, Damaged, Lost, Empty, Unrecorded, WithoutRecord, Newer];
        all.into_iter().find_map(found)
    }

    /// Makes the fault of the manifest of a delta beside which there is no record of the overlay.
    pub(super) fn of_lost_record(manifest: &ObjectPath) -> Self {
        ShardFault { shard: manifest.to_string(), fault: Fault::WithoutRecord, source: None }
    }

    /// Makes the fault of a shard whose schema version this program does not know.
    pub(super) fn of_newer_version(shard: &ObjectPath) -> Self {
        ShardFault { shard: shard.to_string(), fault: Fault::Newer, source: None }
    }
}

/// The tables that a statement reads.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadTables {
    /// Those of lakes.
    pub(super) tables: Vec<String>,
    /// The user's own files.
    pub(super) files: Vec<String>,
}

impl ReadTables {
    fn kind_of_unreadable(&self) -> ErrorKind {
        if self.tables.is_empty() && !self.files.is_empty() { ErrorKind::Input } else { ErrorKind::Lake }
    }
}

fn fault_of(error: &object_store::Error) -> Fault {
    match error {
        object_store::Error::NotFound { .. } => Fault::Vanished,
        object_store::Error::Precondition { .. } => Fault::Replaced,
        _ => Fault::Unreadable,
    }
}

impl From<ShardFault> for ParquetError {
    fn from(fault: ShardFault) -> Self {
        ParquetError::External(Box::new(fault))
    }
}

/// Returns whether a statement failed because something changed after it was planned: a shard was replaced or removed, or
/// a worker was lost. A new plan takes it into account.
pub(super) fn is_outdated(error: &Error) -> bool {
    #[cfg(feature = "distributed")]
    if find::<LostWorker>(error).is_some() {
        return true;
    }
    find::<ShardFault>(error).is_some_and(|fault| matches!(fault.fault, Fault::Vanished | Fault::Replaced))
}

/// Returns the error that a worker reports as a text, if it is one of a shard, or that of a lost worker.
#[cfg(feature = "distributed")]
fn of_worker(error: &DataFusionError) -> Option<Error> {
    const OTHER_FILES: &str = "an ingest is writing this lake, or a worker does not see the same files: it needs the same bucket or mount; run the statement again";
    const WITHOUT: &str = "start it again with all-docs query-worker, or leave it out of --workers";
    let text = error.to_string();
    if let Some(lost) = LostWorker::of_text(&text) {
        return Some(Error::network(lost.to_string()).source(lost).hint(WITHOUT));
    }
    let fault = ShardFault::of_text(&text)?;
    let hint = if matches!(fault.fault, Fault::Vanished | Fault::Replaced) { OTHER_FILES } else { VERIFY };
    Some(Error::lake(format!("a worker says: {fault}")).source(fault).hint(hint))
}

/// Converts an error met while a statement ran. `read` is what it reads.
pub(super) fn failure(error: DataFusionError, read: &ReadTables) -> Error {
    const AGAIN: &str = "an ingest is writing this lake; run the statement again";
    const LOST: &str = "if its disk or mount is away, bring it back; all-docs verify names every lost shard, and with --repair makes it again";
    if let Some(fault) = find::<ShardFault>(&error) {
        let (kind, message) = (fault.fault, fault.to_string());
        let lake_error = match kind {
            // The message says all.
            Fault::Lost | Fault::Empty | Fault::Unrecorded | Fault::WithoutRecord => Error::lake(message),
            _ => Error::lake(message).source(error),
        };
        return match kind {
            Fault::Vanished | Fault::Replaced => lake_error.hint(AGAIN),
            Fault::Damaged => lake_error.hint(VERIFY),
            Fault::Lost | Fault::Empty | Fault::Unrecorded | Fault::WithoutRecord => lake_error.hint(LOST),
            Fault::Newer => lake_error.hint("update all-docs"),
            Fault::Unreadable => lake_error,
        };
    }
    if let Some(own) = own_error(&error) {
        return own;
    }
    #[cfg(feature = "distributed")]
    if let Some(of_worker) = of_worker(&error) {
        return of_worker;
    }
    if let Some(message) = way_out::of_value(&error) {
        return way_out::mistake(&message).doing("running the statement");
    }
    if let Some(ours) = find::<object_store::Error>(&error) {
        // The lake's shards have faults of their own.
        let what = if read.files.is_empty() { "the lake" } else { "a file of the statement" };
        return Error::new(read.kind_of_unreadable(), format!("cannot read {what}: {ours}")).source(error);
    }
    if find::<ParquetError>(&error).is_some() || matches!(find::<ArrowError>(&error), Some(ArrowError::ParquetError(_)))
    {
        let files = read.files.iter().map(|file| format!("the file {file}"));
        let tables = read.tables.iter().map(|table| format!("a shard of {table}"));
        let message = format!("{} cannot be decoded", tables.chain(files).collect::<Vec<_>>().join(" or "));
        let hint = if read.tables.is_empty() { "make or download the file again" } else { VERIFY };
        return Error::new(read.kind_of_unreadable(), message).hint(hint).source(error);
    }
    if let Some(refused) = system_error(&error).filter(|error| is_out_of_files(error)) {
        let refused = std::io::Error::from_raw_os_error(refused.raw_os_error().unwrap_or_default());
        return Error::lake("the statement needs more open files than it may have").source(refused);
    }
    if find::<std::io::Error>(&error).is_some() {
        return Error::internal("cannot write what does not fit into memory to a temporary file")
            .hint("free some space in the folder for temporary files, or ask for less")
            .source(error);
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => Error::input("the statement needs more memory than it may take")
            .hint("ask for fewer columns or rows, or group before you join")
            .source(error),
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) | DataFusionError::NotImplemented(_) => {
            way_out::mistake(&plain_message(&error)).doing("running the statement")
        }
        _ => Error::new(ErrorKind::Internal, "the statement failed").source(error),
    }
}

/// Returns the [`Error`] that our own part of the engine made, as a user's file that cannot be read, if there is one.
pub(super) fn own_error(error: &DataFusionError) -> Option<Error> {
    let own = find::<Error>(error)?;
    let again = Error::new(own.kind(), own.message());
    let again = own.source().map(ToString::to_string).into_iter().fold(again, Error::source);
    Some(own.hint_text().into_iter().fold(again, |again, hint| again.hint(hint)))
}

/// Returns the engine's message without the leading name of the error type and the trailing back trace.
pub(super) fn plain_message(error: &DataFusionError) -> String {
    let root = error.find_root();
    let text = match root {
        DataFusionError::ArrowError(arrow, _) => arrow.to_string(),
        other => other.message().into_owned(),
    };
    let text = text.split("\n\nbacktrace:").next().unwrap_or_default().trim();
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if letters.as_str().starts_with(|next: char| next.is_lowercase() || next == ' ') => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
