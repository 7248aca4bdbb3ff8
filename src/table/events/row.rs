//! A row of `events`: its columns, its id, and its way to and from Arrow.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef, TimestampMicrosecondType};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::compare::Happening;
use super::kind::EventKind;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::table::schema::SCHEMA_VERSION_KEY;
use crate::table::spec::{ColumnSpec, ColumnType};
use crate::version::FORMAT_VERSION;

/// Grows by one with each change of a column's name, type, nullability or place.
const SCHEMA_VERSION: u32 = 1;
/// The characters of an id: 128 bits of a digest.
const ID_CHARS: usize = 32;

const COLUMNS: [ColumnSpec; 10] = [
    ColumnSpec::required(
        "id",
        ColumnType::Text,
        "A digest of the other columns but `seen_at` and `seq`: a repeat has the same.",
    )
    .unique()
    .without_statistics(),
    ColumnSpec::required("seen_at", ColumnType::Time, "When it was found: at the commit of the document."),
    ColumnSpec::optional(
        "seq",
        ColumnType::Text,
        "The change in the registry's feed that announced the document; null if a listing did.",
    ),
    ColumnSpec::required("name", ColumnType::Text, "The package's name."),
    ColumnSpec::required(
        "rev",
        ColumnType::Text,
        "The revision of the new document; the last known one of a package that is gone.",
    ),
    ColumnSpec::required("event", ColumnType::Text, "What happened."),
    ColumnSpec::optional("version", ColumnType::Text, "The version to which it happened; null if to the package."),
    ColumnSpec::optional("subject", ColumnType::Text, "Which tag, maintainer, publisher, dependency or script."),
    ColumnSpec::optional(
        "before",
        ColumnType::Text,
        "The value before: a version, command, range, message, address or license.",
    ),
    ColumnSpec::optional("after", ColumnType::Text, "The value after."),
];

/// Something that happened to a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// A digest of all that follows but `seen_at_us` and `seq`: a repeat has the same.
    pub id: String,
    /// When it was found, in microseconds since 1970.
    #[serde(rename = "seen_at", serialize_with = "as_time")]
    pub seen_at_us: i64,
    /// The change in the registry's feed that announced the document; `None` if a listing did.
    pub seq: Option<String>,
    /// The package's name.
    pub name: String,
    /// The revision of the new document.
    pub rev: String,
    /// What happened.
    pub event: String,
    /// The version to which it happened.
    pub version: Option<String>,
    /// Which tag, maintainer, publisher, dependency or script.
    pub subject: Option<String>,
    /// The value before.
    pub before: Option<String>,
    /// The value after.
    pub after: Option<String>,
}

fn as_time<S: serde::Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let time = jiff::Timestamp::from_microsecond(*micros).unwrap_or_default();
    serializer.serialize_str(&format!("{time:.6}"))
}

/// The document whose comparison found an event.
#[derive(Debug, Clone, Copy)]
pub struct EventOf<'a> {
    /// The package's name.
    pub name: &'a str,
    /// The revision of the new document; the last known one if there is none.
    pub rev: &'a str,
    /// The change in the registry's feed that announced it.
    pub seq: Option<&'a str>,
}

impl Event {
    /// Makes the event of something that happened. `seen_at_us` is set later, by [`event_batch`].
    pub fn new(of: EventOf<'_>, happening: Happening) -> Event {
        let Happening { kind, version, subject, before, after } = happening;
        let mut event = Event {
            id: String::new(),
            seen_at_us: 0,
            seq: of.seq.map(str::to_owned),
            name: of.name.to_owned(),
            rev: of.rev.to_owned(),
            event: kind.as_str().to_owned(),
            version,
            subject,
            before,
            after,
        };
        event.id = event.digest();
        event
    }

    /// Returns whether its id is the one that its values make.
    pub fn has_its_id(&self) -> bool {
        self.id == self.digest()
    }

    fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let parts = [&self.name, &self.rev, &self.event].map(|part| Some(part.as_str()));
        let optional = [&self.version, &self.subject, &self.before, &self.after].map(|part| part.as_deref());
        for part in parts.into_iter().chain(optional) {
            // A length in front of each part keeps different rows apart.
            digest.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            digest.update(part.unwrap_or_default());
        }
        let mut id = format!("{:x}", digest.finalize());
        id.truncate(ID_CHARS);
        id
    }

    /// Returns its kind; `None` if a later version of this program wrote it.
    pub fn kind(&self) -> Option<EventKind> {
        EventKind::parse(&self.event)
    }
}

/// Returns the columns of `events` in their order.
pub fn event_columns() -> &'static [ColumnSpec] {
    &COLUMNS
}

/// Returns the Arrow schema of `events`, as its files have it.
pub fn event_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let metadata = HashMap::from([
            ("table".to_owned(), "events".to_owned()),
            ("grain".to_owned(), "something that happened to a package".to_owned()),
            ("format_version".to_owned(), FORMAT_VERSION.to_string()),
            (SCHEMA_VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string()),
        ]);
        let fields: Vec<_> = COLUMNS.iter().map(ColumnSpec::field).collect();
        Arc::new(Schema::new_with_metadata(fields, metadata))
    });
    Arc::clone(&SCHEMA)
}

/// Makes a batch of events, which were all seen at the same time, in microseconds since 1970.
pub fn event_batch(events: &[Event], seen_at_us: i64) -> Result<RecordBatch> {
    let required =
        |of: fn(&Event) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(events.iter().map(of))) };
    let optional =
        |of: fn(&Event) -> Option<&str>| -> ArrayRef { Arc::new(StringArray::from_iter(events.iter().map(of))) };
    let times = TimestampMicrosecondArray::from_value(seen_at_us, events.len()).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        required(|event| &event.id),
        Arc::new(times),
        optional(|event| event.seq.as_deref()),
        required(|event| &event.name),
        required(|event| &event.rev),
        required(|event| &event.event),
        optional(|event| event.version.as_deref()),
        optional(|event| event.subject.as_deref()),
        optional(|event| event.before.as_deref()),
        optional(|event| event.after.as_deref()),
    ];
    RecordBatch::try_new(event_schema(), columns)
        .or_error(ErrorKind::Internal, || "the columns of events do not fit their schema".to_owned())
}

/// Returns the events of a batch that has the columns of `events`.
///
/// Fails with [`ErrorKind::Lake`] if a column is missing or has another type, or if a required value is null.
pub fn events_of(batch: &RecordBatch) -> Result<Vec<Event>> {
    let missing = |name: &str| Error::lake(format!("a file of events has no column {name} of its type"));
    let text = |name: &str| {
        let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        column.ok_or_else(|| missing(name))
    };
    let [id, seq, name, rev] = [text("id")?, text("seq")?, text("name")?, text("rev")?];
    let [event, version, subject] = [text("event")?, text("version")?, text("subject")?];
    let [before, after] = [text("before")?, text("after")?];
    let times = batch.column_by_name("seen_at").and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
    let times = times.ok_or_else(|| missing("seen_at"))?;
    let required = [id, name, rev, event];
    if times.null_count() > 0 || required.iter().any(|column| column.null_count() > 0) {
        return Err(Error::lake("a row of events lacks a value that each has"));
    }
    let optional = |column: &StringArray, row: usize| column.is_valid(row).then(|| column.value(row).to_owned());
    let of_row = |row: usize| Event {
        id: id.value(row).to_owned(),
        seen_at_us: times.value(row),
        seq: optional(seq, row),
        name: name.value(row).to_owned(),
        rev: rev.value(row).to_owned(),
        event: event.value(row).to_owned(),
        version: optional(version, row),
        subject: optional(subject, row),
        before: optional(before, row),
        after: optional(after, row),
    };
    Ok((0..batch.num_rows()).map(of_row).collect())
}
