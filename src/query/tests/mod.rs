//! The promises of the room, each asked of a small lake that the test writes itself.
#![allow(clippy::unwrap_used)]

mod formats;
mod functions;
mod lake;
mod mistakes;
mod named;
mod optimizer;
mod statements;
mod terminal;
