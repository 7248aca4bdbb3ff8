//! What can go wrong before the sample registry answers: a file, a fault script, a port.
//!
//! Not here: refusals that the registry plays (`faults.rs`), which are answers.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a world could not be made or a server not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A file of packuments could not be read or decompressed.
    #[error("reading packuments from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// A line of such a file is no packument.
    #[error("{}, line {line}: {detail}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is missing or malformed.
        detail: String,
    },
    /// A fault script is neither the TOML nor the JSON that is understood.
    #[error("fault script: {detail}")]
    FaultScript {
        /// What the parser said, with the place.
        detail: String,
    },
    /// The server could not start.
    #[error("starting the sample registry on {address}")]
    Start {
        /// The address that it should listen on.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}
