//! SQL over a lake: takes one statement, returns Arrow batches or writes a file format. It only reads.
//!
//! A [`Session`] knows the columns and folders of the lake's tables. It opens nothing until a statement names a table.
//! Not here: the location of a lake (`store/`), writing its files (`shard/`), printing (`cli/`).

mod arrays;
mod attached;
mod batch_writer;
mod catalog;
mod cause;
mod csv_output;
mod describe;
mod events;
mod failure;
mod few_rows;
#[cfg(feature = "distributed")]
mod fleet;
#[cfg(feature = "distributed")]
mod fleet_worker;
mod format;
mod functions;
mod json_value;
mod lake_location;
mod lake_table;
mod lost_shards;
mod mistake;
mod named;
mod nearest;
mod old_columns;
mod optimizer;
mod output_columns;
mod overlay;
mod own_files;
mod plan_limits;
mod ranged_shard;
mod read_ahead;
mod reads;
mod script;
mod query_stream;
mod session;
mod shard_bounds;
mod shard_reader;
mod shard_table;
mod snapshot;
mod statement;
mod syntax;
mod terminal_table;
mod timeline;
mod way_out;
mod write;

pub use attached::AttachedLake;
pub use catalog::TableInfo;
#[cfg(feature = "distributed")]
pub use fleet::Fleet;
#[cfg(feature = "distributed")]
pub use fleet_worker::QueryWorker;
pub use format::Format;
pub use lake_table::ColumnInfo;
pub use named::{
    BoundSql, Key, NamedQueries, NamedQuery, Parameter, ParameterType, ParameterValue, QueryKind, Selection,
};
pub use query_stream::QueryStream;
pub use script::Script;
pub use session::{Session, SessionOptions};
pub use terminal_table::TableOptions;
pub use timeline::{Period, Timeline, TimelineOptions, Timelines};
pub use write::{Written, write};

#[cfg(test)]
mod tests;
