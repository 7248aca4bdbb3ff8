//! The integration tests: one binary, because each one links all of DataFusion.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

/// What the tests stand on: a registry, a lake, the binary.
mod support;

/// The law of the rooms.
mod layering;
/// No file uses a file that uses it.
mod circles;
/// Any bytes at all, at every decoder.
mod fuzz;
/// Ingest through the library: what the lake holds, and what the registry saw.
mod ingest;
/// Secrets: to whom they go, and where they never stand.
mod credentials;
/// Every odd document, and what becomes of it.
mod odd;
/// Large documents in bounded memory.
mod memory;
/// Pages of the feed of changes.
mod feed;
/// Requests that ask only for what changed.
mod conditional;
/// The faults of the system that this one replaces, each by name.
mod predecessor;
/// A process that dies, at scripted and at random moments.
mod crash;
/// What is durable when.
mod staging;
/// The binary: exit codes, errors, output.
mod face;
/// Python, DuckDB and pandas reading what we wrote.
mod readers;
/// Views, reports, the shell and the page of SQL.
#[cfg(feature = "query")]
mod views;
/// The prompt on a terminal.
#[cfg(feature = "query")]
mod prompt;
/// Two processes on one lake.
mod lock;
/// Several processes that ask one server.
mod pace;
/// A lake that is proved, damaged, found out, and mended.
mod verify;
/// Lakes of earlier and of newer versions.
mod evolution;
/// Servers, disks and people that get in the way of an ingest.
mod survival;
/// A registry on a bad day, and the lake that ends as on a quiet one.
mod weather;
/// The commands that people know: partition, packument, cache, pivots.
mod commands;
