//! The command line: takes arguments, runs a command and returns an exit code. Only this module prints or reads the
//! environment.

mod args;
#[cfg(feature = "array")]
mod arrays;
mod cache;
mod copy;
mod documentation;
#[cfg(feature = "array")]
mod downloads;
mod event_args;
mod events;
mod exit;
mod export;
mod far;
mod fleet_args;
mod fold;
mod follow;
mod follow_metrics;
mod index;
mod ingest;
mod ingest_problems;
mod lake_origin;
mod log;
mod log_format;
mod meter;
mod metric_text;
mod names_file;
mod network;
mod origin;
mod output_file;
mod packument;
mod partition;
mod pivots;
#[cfg(all(feature = "plot", feature = "query"))]
mod plot;
mod printer;
mod registry_args;
#[cfg(feature = "query")]
mod query;
#[cfg_attr(not(feature = "queue"), path = "no_queue.rs")]
mod queue_args;
mod rebuild;
mod sample;
mod sample_edits;
mod settings;
mod share;
mod show;
mod status;
mod store_args;
mod token;
mod usage;
mod verify;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use tokio_util::sync::CancellationToken;

use crate::error::{Context, Error, ErrorKind, Result};
use args::{Args, Command};
use log_format::LogFormat;
use printer::Printer;

/// The longest time that a query continues after Ctrl-C.
const COMPUTING_STOPS_WITHIN: Duration = Duration::from_secs(2);
/// The longest time that a worker takes to hand back its items: Cloud Run kills it after ten seconds.
const WORKER_STOPS_WITHIN: Duration = Duration::from_millis(9_500);

/// Parses the command line, runs the command and returns the process's exit code.
pub fn main() -> ExitCode {
    main_with(std::env::args_os())
}

/// Runs the caller's command line as [`main`] does. Its first member is the program's name.
pub fn main_with(command_line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command_line: Vec<OsString> = command_line.into_iter().collect();
    let args = match Args::try_parse_from(&command_line) {
        Ok(args) => args,
        Err(told) if told.use_stderr() && log_format::is_json(&command_line) => {
            Printer::new(false, LogFormat::Json).error(&Error::input(told.render().to_string().trim_end()));
            return exit::Code::Input.into();
        }
        Err(told) => told.exit(),
    };
    let printer = Printer::new(args.quiet, args.log_format);
    let told = printer.clone();
    let run = move || events::show(args.verbose, args.log_format, &told).and_then(|()| run(args, &told));
    // The stack of the main thread is the system's to choose.
    let thread = std::thread::Builder::new().name("all-docs".to_owned()).stack_size(STACK_BYTES).spawn(run);
    match thread
        .or_error(ErrorKind::Internal, || "cannot start a thread".to_owned())
        .and_then(|thread| thread.join().unwrap_or_else(|_| Err(Error::internal("the command died"))))
    {
        Ok(code) => code.into(),
        Err(error) => {
            printer.error(&error);
            exit::code_of(&error).into()
        }
    }
}

/// The stack of a thread, of which only what is used takes memory. A statement with thousands of terms is a tree as deep, and
/// the engine walks through it by recursion.
const STACK_BYTES: usize = 64 << 20;

fn run(args: Args, printer: &Printer) -> Result<exit::Code> {
    let settings = settings::Settings::load(args.config.as_deref(), args.lake, args.store)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .or_error(ErrorKind::Internal, || "cannot start the runtime".to_owned())?;
    let stop = CancellationToken::new();
    let tells_usage = args.verbose > 0 || uses_much(&args.command);
    if !opens_prompt(&args.command) {
        spawn_signal_listener(stop.clone(), patience(&args.command), printer.clone())
            .or_error(ErrorKind::Internal, || "cannot listen for Ctrl-C".to_owned())?;
    }
    let asked_to_stop = stop.clone();
    let work = async {
        match args.command {
            Command::Ingest(args) => ingest::run(args, &settings, printer, stop).await,
            Command::Follow(args) => Box::pin(follow::run(args, &settings, printer, stop)).await,
            #[cfg(feature = "query")]
            Command::Query(args) => query::run(args, &settings, printer, stop).await,
            #[cfg(feature = "distributed")]
            Command::QueryWorker(args) => query::run_worker(args, &settings, printer, stop).await,
            #[cfg(feature = "query")]
            Command::Views(args) => query::run_views(args, &settings, printer).await,
            #[cfg(not(feature = "query"))]
            Command::Query(_) => Err(no_sql()),
            #[cfg(all(feature = "plot", feature = "query"))]
            Command::Plot(command) => plot::run(command, &settings, printer).await,
            Command::Verify(args) => verify::run(args, &settings, printer, stop).await,
            #[cfg(feature = "array")]
            Command::Downloads(args) => downloads::run(args, &settings, printer, stop).await,
            Command::Rebuild(args) => rebuild::run(args, &settings, printer, stop).await,
            #[cfg(feature = "array")]
            Command::Arrays(args) => arrays::run(args, &settings, printer, stop).await,
            Command::Fold(args) => Box::pin(fold::run(args, &settings, printer, stop)).await,
            Command::Copy(args) => copy::run(args, &settings, printer, stop).await,
            Command::Worker(args) => Box::pin(worker::run(args, &settings, printer, stop)).await,
            Command::Status(args) => status::run(args, &settings, printer).await,
            Command::Partition(command) => partition::run(command, &settings, printer, stop).await,
            Command::Packument(command) => packument::run(command, &settings, printer, stop).await,
            Command::Cache(command) => cache::run(command, &settings, printer, stop).await,
            Command::Pivots(args) => pivots::run(args, &settings, printer).await,
            Command::Sample(args) => sample::run(args, printer, stop).await,
            Command::Completions(args) => documentation::print_completions(args, Args::command(), printer),
            Command::Man(args) => documentation::write_man_pages(args, Args::command(), printer),
        }
    };
    let result = runtime.block_on(async {
        tokio::select! {
            result = work => result,
            never = far::watch(&settings, printer, &asked_to_stop) => match never {},
        }
    });
    if tells_usage {
        usage::tell(printer, &settings.opened());
    }
    // A blocking thread may still compress a shard that nobody waits for. It must not delay the exit.
    runtime.shutdown_background();
    result
}

/// Returns the error for SQL in a build without it.
#[cfg(not(feature = "query"))]
fn no_sql() -> crate::error::Error {
    crate::error::Error::input("this build of all-docs has no SQL: query and views were left out when it was built")
        .hint("build one with it, from a checkout: cargo install --path . (without --no-default-features); or ask the lake's Parquet files with DuckDB, pandas or Polars")
}

/// Whether the command may send so many operations to a bucket that their number is worth a line.
fn uses_much(command: &Command) -> bool {
    #[cfg(feature = "array")]
    if matches!(command, Command::Arrays(_)) {
        return true;
    }
    matches!(
        command,
        Command::Ingest(_)
            | Command::Verify(_)
            | Command::Rebuild(_)
            | Command::Copy(_)
            | Command::Worker(_)
            | Command::Fold(_)
            | Command::Partition(_)
            | Command::Packument(_)
    )
}

/// Whether the command opens a prompt. Ctrl-C at a prompt stops a statement, not the process.
fn opens_prompt(command: &Command) -> bool {
    match command {
        #[cfg(feature = "query")]
        Command::Query(args) => query::opens_prompt(args),
        _ => false,
    }
}

/// Returns how long a command may take to stop; `None` for one that writes, which takes the time that it needs.
fn patience(command: &Command) -> Option<Duration> {
    match command {
        #[cfg(feature = "query")]
        Command::Query(_) | Command::Views(_) => Some(COMPUTING_STOPS_WITHIN),
        #[cfg(feature = "distributed")]
        Command::QueryWorker(_) => Some(COMPUTING_STOPS_WITHIN),
        #[cfg(all(feature = "plot", feature = "query"))]
        Command::Plot(_) => Some(COMPUTING_STOPS_WITHIN),
        // `pivots` may wait for a registry that does not respond. It does not touch the lake.
        Command::Status(_) | Command::Pivots(_) => Some(COMPUTING_STOPS_WITHIN),
        Command::Worker(_) => Some(WORKER_STOPS_WITHIN),
        _ => None,
    }
}

/// Listens for Ctrl-C and SIGTERM. The first one asks the run to stop. The second one ends the process at once, and so
/// does the end of `patience`: a command that only computes may be in a step that nothing interrupts, and ending the
/// process then does no harm.
///
/// The listener has its own thread and runtime, because a long computation on the workers must not block it.
fn spawn_signal_listener(stop: CancellationToken, patience: Option<Duration>, printer: Printer) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(listen(stop, patience, printer))).map(drop)
}

async fn listen(stop: CancellationToken, patience: Option<Duration>, printer: Printer) -> std::io::Result<()> {
    let mut signals = Signals::new()?;
    signals.next().await?;
    stop.cancel();
    match patience {
        Some(patience) => {
            // The patience ran out, or the user pressed Ctrl-C again.
            let _ = tokio::time::timeout(patience, signals.next()).await;
        }
        None => {
            printer.note("stopping: what is finished stays committed; press Ctrl-C again to stop at once");
            signals.next().await?;
        }
    }
    std::process::exit(exit::Code::Interrupted as i32)
}

/// The signals by which the system asks the process to stop.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        Ok(())
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
