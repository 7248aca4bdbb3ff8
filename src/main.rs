//! The thin binary: an allocator and an exit code. Everything else is in the library.

use std::process::ExitCode;

#[cfg(unix)]
mod allocator;

fn main() -> ExitCode {
    all_docs::store::raise_open_file_limit();
    all_docs::cli::main()
}
