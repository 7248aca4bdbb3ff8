//! The face: arguments in, exit code out. The only room that prints or reads the environment.

mod args;
mod cache;
mod exit;
mod export;
mod index;
mod ingest;
mod lake_origin;
mod log;
mod meter;
mod names_file;
mod origin;
mod output_file;
mod packument;
mod partition;
mod pivots;
mod printer;
#[cfg(feature = "query")]
mod query;
mod sample;
mod sample_edits;
mod settings;
mod show;
mod status;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use tokio_util::sync::CancellationToken;

use crate::error::{Context, ErrorKind, Result};
use args::{Args, Command};
use printer::Printer;

/// Parses the command line, runs the command and answers the process's exit code.
pub fn main() -> ExitCode {
    main_with(std::env::args_os())
}

/// The same with a command line of the caller's; its first member is the program's name.
pub fn main_with(command_line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = Args::parse_from(command_line);
    let printer = Printer::new(args.quiet);
    match run(args, &printer) {
        Ok(code) => code.into(),
        Err(error) => {
            printer.error(&error);
            exit::code_of(&error).into()
        }
    }
}

fn run(args: Args, printer: &Printer) -> Result<exit::Code> {
    let settings = settings::Settings::load(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .or_error(ErrorKind::Internal, || "cannot start the runtime".to_owned())?;
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        spawn_signal_listener(stop.clone(), printer.clone());
        match args.command {
            Command::Ingest(args) => ingest::run(args, &settings, printer, stop).await,
            #[cfg(feature = "query")]
            Command::Query(args) => query::run(args, &settings, printer, stop).await,
            Command::Verify(args) => verify::run(args, &settings, printer, stop).await,
            Command::Status(args) => status::run(args, &settings, printer).await,
            Command::Partition(command) => partition::run(command, &settings, printer, stop).await,
            Command::Packument(command) => packument::run(command, &settings, printer, stop).await,
            Command::Cache(command) => cache::run(command, &settings, printer, stop).await,
            Command::Pivots(args) => pivots::run(args, &settings, printer).await,
            Command::Sample(args) => sample::run(args, printer, stop).await,
        }
    });
    // A blocking thread may still compress a shard that nobody waits for; it must not hold up the exit.
    runtime.shutdown_background();
    result
}

/// The first Ctrl-C (or SIGTERM) asks the run to stop; the second one ends the process at once.
fn spawn_signal_listener(stop: CancellationToken, printer: Printer) {
    tokio::spawn(async move {
        let mut signals = 0;
        loop {
            if wait_for_signal().await.is_err() {
                return;
            }
            signals += 1;
            if signals > 1 {
                std::process::exit(exit::Code::Interrupted as i32);
            }
            printer.note("stopping: what is finished stays committed; press Ctrl-C again to stop at once");
            stop.cancel();
        }
    });
}

#[cfg(unix)]
async fn wait_for_signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
