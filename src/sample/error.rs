//! The errors before the sample registry responds: of a file, a fault script, a port.
//!
//! Not here: refusals that the registry plays (`faults.rs`), which are responses.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The reason why a world could not be made or a server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A file of packuments could not be read or decompressed.
    #[error("reading packuments from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system or the decompressor.
        source: io::Error,
    },
    /// A line of such a file is no packument.
    #[error("{}, line {line}: {detail}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The missing or malformed part.
        detail: String,
    },
    /// A fault script is neither valid TOML nor valid JSON.
    #[error("fault script: {detail}")]
    FaultScript {
        /// The parser's message, with the place.
        detail: String,
    },
    /// The server could not start.
    #[error("starting the sample registry on {address}")]
    Start {
        /// The address that it should listen on.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
}
