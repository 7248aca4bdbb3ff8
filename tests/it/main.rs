//! The integration tests: one binary, because each one links all of DataFusion.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

/// The fixtures of the tests: a registry, a lake, the binary.
mod support;
/// A registry whose responses depend on headers and on the number of a request.
mod small_server;
/// Servers that stand in for object stores.
mod doubles;

/// The rules of the layers.
mod layering;
/// No file uses a file that uses it.
mod circles;
/// Any bytes at all, at every decoder.
mod fuzz;
/// Ingest through the library: the lake's content, and the registry's requests.
mod ingest;
/// Download counts: requests and cells.
#[cfg(feature = "array")]
mod downloads;
/// Names without a document, and registries that serve none.
mod absence;
/// Secrets: their recipients, and the places where they never appear.
mod credentials;
/// Every odd document, and its result.
mod odd;
/// Large documents in bounded memory.
mod memory;
/// Pages of the feed of changes.
mod feed;
/// Following the feed, as a process.
mod follow;
/// Workers over HTTP, and an ingest that hands its work out.
mod fleet;
/// Requests for changed documents alone.
mod conditional;
/// The faults of the system that this one replaces, each by name.
mod predecessor;
/// A process that dies, at scripted and at random moments.
mod crash;
/// The time at which each file is durable.
mod staging;
/// The command line: exit codes, errors, output.
mod command_line;
/// Events for operators, completions and man pages.
mod events;
/// Things that happened to packages: every kind of event, each once, whatever was killed.
mod happenings;
/// The outputs of events, and what is left when they end.
mod outputs;
/// Low limits of open files, other file systems, and readers beside a writer.
mod files;
/// Python, DuckDB and pandas as readers of our files.
mod readers;
/// The Zarr arrays.
#[cfg(feature = "array")]
mod arrays;
/// The notebooks in `examples/`.
#[cfg(feature = "array")]
mod notebooks;
/// Charts over time: their values, and the command that draws them.
#[cfg(all(feature = "plot", feature = "query"))]
mod plot;
/// Arrays in a bucket, read by ranges while they are replaced.
#[cfg(feature = "array")]
mod array_reads;
/// Tables of SQL over the arrays.
#[cfg(feature = "query")]
mod array_tables;
/// A lake with an overlay, as SQL, DuckDB and Polars read it.
#[cfg(feature = "query")]
mod overlay_reads;
/// SQL on several machines.
#[cfg(feature = "distributed")]
mod fleet_sql;
/// Views, reports, the shell and the page of SQL.
#[cfg(feature = "query")]
mod views;
/// The requests that commands take in a lake in a bucket.
#[cfg(feature = "query")]
mod far;
/// The prompt on a terminal.
#[cfg(feature = "query")]
mod prompt;
/// Two processes on one lake.
mod lock;
/// Processes that divide an ingest by shares.
mod shares;
/// Several processes that send requests to one server.
mod pace;
/// The stores of lakes.
mod store;
/// A lake that is verified, damaged, diagnosed, and repaired.
mod verify;
/// Lakes of earlier and of newer versions.
mod evolution;
/// Reaching a bucket: settings, errors, secrets.
mod reach;
/// The page about buckets: its statements and settings.
mod buckets_page;
/// Failures of servers, disks and people during an ingest.
mod survival;
/// A registry with many faults, and a lake that ends as without them.
mod weather;
/// The documented commands: partition, packument, cache, pivots.
mod commands;
/// Lakes in buckets.
mod buckets;
