//! The thin binary: an allocator and an exit code. Everything else is in the library.

use std::process::ExitCode;

/// Decoding makes millions of short-lived strings on many threads; the system's allocator is slower at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    all_docs::cli::main()
}
