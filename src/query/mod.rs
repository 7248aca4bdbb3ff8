//! SQL over a lake: one statement in, Arrow batches or a file format out. It only reads.
//!
//! A [`Session`] knows the lake's tables by their columns and their folders and opens nothing until a statement names
//! them. Not here: where a lake lies (`store/`), how its files are written (`shard/`), what is printed (`cli/`).

mod attached;
mod batch_writer;
mod catalog;
mod failure;
mod format;
mod functions;
mod json_value;
mod lake_location;
mod mistake;
mod named;
mod nearest;
mod old_columns;
mod optimizer;
mod output_columns;
mod own_files;
mod plan_limits;
mod script;
mod session;
mod shard_reader;
mod shard_table;
mod statement;
mod syntax;
mod terminal_table;
mod write;

pub use attached::AttachedLake;
pub use catalog::{ColumnInfo, TableInfo};
pub use format::Format;
pub use named::{
    BoundSql, Key, NamedQueries, NamedQuery, Parameter, ParameterType, ParameterValue, QueryKind, Selection,
};
pub use script::Script;
pub use session::{QueryStream, Session, SessionOptions};
pub use terminal_table::TableOptions;
pub use write::{Written, write};

#[cfg(test)]
mod tests;
