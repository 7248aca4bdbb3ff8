//! Named queries: SQL files with a header that describes a row. A *view* is a relation that other SQL can name; a
//! *report* is a query with parameters. Not here: how a statement runs (`session`).

mod binding;
mod built_in;
mod header;
mod list;
mod parameter;
mod selection;
mod view_plan;

pub use binding::BoundSql;
pub use list::NamedQueries;
pub use parameter::{Parameter, ParameterType, ParameterValue};
pub use selection::{Key, Selection};

pub(super) use binding::bind;
pub(super) use selection::{ViewColumn, quoted, select_from_view};
pub(super) use view_plan::plan_view;

use serde::Serialize;

/// The kind of a named query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryKind {
    /// A relation: other SQL names it like a table. It has no parameters.
    View,
    /// A query with parameters.
    Report,
}

impl QueryKind {
    /// Returns the kind's name for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            QueryKind::View => "view",
            QueryKind::Report => "report",
        }
    }

    /// Returns the folder of its files, below a folder of queries.
    pub fn folder(self) -> &'static str {
        match self {
            QueryKind::View => "views",
            QueryKind::Report => "reports",
        }
    }
}

/// A query with a name, as its file declares it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NamedQuery {
    /// The file's name without `.sql`; a view's name in SQL.
    pub name: String,
    /// Whether it is a view or a report.
    pub kind: QueryKind,
    /// The meaning of one row.
    pub grain: String,
    /// The tables, views and functions that it reads.
    pub reads: Vec<String>,
    /// Its columns in order; empty if the file does not say.
    pub columns: Vec<String>,
    /// The columns that a view is ordered and selected by; all columns if the file does not say. Empty for a report.
    pub key: Vec<String>,
    /// The values that a report takes.
    pub parameters: Vec<Parameter>,
    /// A command that runs it.
    pub example: String,
    /// The whole file.
    pub sql: String,
}
