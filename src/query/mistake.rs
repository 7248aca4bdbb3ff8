//! Explains errors in a statement, and suggests the nearest name. Not here: errors while it runs (`failure`), and
//! statements that cannot be parsed (`syntax`).

use arrow::datatypes::SchemaRef;
use datafusion::common::{Column, SchemaError, TableReference};
use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind};

use super::catalog::LakeCatalog;
use super::cause::find;
use super::failure::{own_error, plain_message};
use super::lake_table::LakeTable;
use super::nearest::nearest;
use super::own_files;
use super::way_out;

/// The most names that a hint lists; beyond it, the hint only says how to list them.
const LISTED_NAMES: usize = 50;

/// Explains the planner's errors by the tables of a lake.
pub(super) struct Mistakes<'a> {
    pub(super) catalog: &'a LakeCatalog,
}

impl Mistakes<'_> {
    /// Converts the planner's error for a statement that names `references`.
    pub(super) fn explain(&self, error: DataFusionError, references: &[TableReference]) -> Error {
        if let Some(own) = own_error(&error) {
            return own;
        }
        if let Some(SchemaError::FieldNotFound { field, valid_fields }) = find::<SchemaError>(&error) {
            let error = || self.unknown_column(field, valid_fields, references);
            let of_file = |reference: &&TableReference| self.catalog.find(reference).is_none();
            let empty = references.iter().filter(of_file).find_map(|file| own_files::empty_file(file.table()));
            return match empty {
                Some(file) => Error::input(error().message()).hint(format!(
                    "{file} is empty, so it has no columns; a statement can give it some: \
                     read_json('{file}', columns => {{'{}': 'text'}})",
                    field.name
                )),
                None => error(),
            };
        }
        if let Some(SchemaError::AmbiguousReference { field }) = find::<SchemaError>(&error) {
            return Error::input(format!("more than one table of the statement has a column {:?}", field.name))
                .hint(format!("name the table, as in versions.{}", field.name));
        }
        let message = plain_message(&error);
        let unknown = references.iter().find(|reference| {
            self.catalog.find(reference).is_none()
                && !self.catalog.is_view(reference)
                && message.contains(reference.table())
                && message.contains("not found")
        });
        if let Some(reference) = unknown {
            return self.unknown_table(reference);
        }
        match error.find_root() {
            DataFusionError::Internal(_) => {
                Error::new(ErrorKind::Internal, "the statement cannot be planned").source(error)
            }
            DataFusionError::ObjectStore(_) => Error::lake("cannot list the lake").source(error),
            _ if message.contains("json_") && message.contains("got Boolean") => {
                Error::input(message).hint("= binds more tightly than -> and ->>: write (json->>'name') = 'a'")
            }
            _ => way_out::mistake(&message),
        }
    }

    fn unknown_table(&self, reference: &TableReference) -> Error {
        let tables: Vec<&str> = LakeTable::all().map(LakeTable::as_str).collect();
        let origins: Vec<&str> = self.catalog.origin_names().collect();
        if let Some(origin) = reference.schema()
            && self.catalog.origin(origin).is_none()
        {
            let near = nearest(origin, origins.iter().copied());
            let meant = near.map(|near| format!("did you mean {near}.{}? ", reference.table())).unwrap_or_default();
            return Error::input(format!("the lake holds no origin {origin:?}"))
                .hint(format!("{meant}Its origins: {}", origins.join(", ")));
        }
        let views = self.catalog.queries().views().map(|view| view.name.as_str());
        let near = nearest(reference.table(), tables.iter().copied().chain(views));
        let meant = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        let made = "a lake has all of them, filled by all-docs ingest; all-docs views lists the views";
        let others: Vec<String> = origins
            .iter()
            .filter(|origin| **origin != self.catalog.default_origin())
            .map(|origin| format!("; those of {origin} as {origin}.versions"))
            .collect();
        Error::input(format!("there is no table {:?}", reference.table())).hint(format!(
            "{meant}Tables: {}{} ({made})",
            tables.join(", "),
            others.concat()
        ))
    }

    fn unknown_column(&self, field: &Column, valid: &[Column], references: &[TableReference]) -> Error {
        if let Some(relation) = &field.relation
            && !valid
                .iter()
                .any(|column| column.relation.as_ref().is_some_and(|known| known.table() == relation.table()))
        {
            return unknown_relation(field, relation, valid);
        }
        let known: Vec<LakeTable> = references.iter().filter_map(|reference| self.catalog.find(reference)).collect();
        let schemas: Vec<(&str, SchemaRef)> = known.iter().map(|table| (table.as_str(), table.schema())).collect();
        // If the planner does not list the valid columns, every column of the statement's tables is a candidate.
        let mut columns: Vec<(String, &str)> = valid
            .iter()
            .filter(|column| field.relation.is_none() || field.relation == column.relation)
            .map(|column| (column.relation.as_ref().map_or("", |relation| relation.table()).to_owned(), column.name()))
            .collect();
        if columns.is_empty() {
            columns = schemas
                .iter()
                .flat_map(|(table, schema)| {
                    schema.fields().iter().map(|field| ((*table).to_owned(), field.name().as_str()))
                })
                .collect();
        }
        let mut tables: Vec<&str> =
            columns.iter().map(|(table, _)| table.as_str()).filter(|name| !name.is_empty()).collect();
        tables.dedup();
        let place = if tables.is_empty() { String::new() } else { format!(" in {}", tables.join(", ")) };
        let error = Error::input(format!("there is no column {:?}{place}", field.name));
        let near = nearest(&field.name, columns.iter().map(|(_, column)| *column));
        let meant = near.map(|near| match columns.iter().find(|(_, column)| *column == near) {
            Some((table, _)) if !table.is_empty() => format!("did you mean {near}, of {table}? "),
            _ => format!("did you mean {near}? "),
        });
        let elsewhere: Vec<&str> = LakeTable::all()
            .filter(|table| !known.contains(table) && table.schema().column_with_name(&field.name).is_some())
            .map(LakeTable::as_str)
            .collect();
        let meant = meant.unwrap_or_default();
        let elsewhere = match elsewhere.as_slice() {
            [] => String::new(),
            tables => format!("{:?} is a column of {}. ", field.name, tables.join(", ")),
        };
        let names: Vec<&str> = columns.iter().map(|(_, column)| *column).collect();
        error.hint(format!("{meant}{elsewhere}{}", listed("Columns", &names)))
    }
}

fn unknown_relation(field: &Column, relation: &TableReference, valid: &[Column]) -> Error {
    let mut names: Vec<&str> =
        valid.iter().filter_map(|column| column.relation.as_ref()).map(|known| known.table()).collect();
    names.dedup();
    let near = nearest(relation.table(), names.iter().copied());
    let meant = near.map(|near| format!("did you mean {near}.{}? ", field.name)).unwrap_or_default();
    Error::input(format!("{:?} is no table or alias of the statement", relation.table()))
        .hint(format!("{meant}{}", listed("Tables and aliases here", &names)))
}

fn listed(title: &str, names: &[&str]) -> String {
    if names.is_empty() || names.len() > LISTED_NAMES {
        return "describe shows a table's columns: describe versions".to_owned();
    }
    format!("{title}: {}", names.join(", "))
}
