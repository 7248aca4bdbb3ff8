//! `all-docs sample`: serves the sample registry on loopback until Ctrl-C, and applies the edits that the user types.

use std::io::BufRead;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::log;
use super::printer::Printer;
use super::sample_edits::{HELP, Line};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::sample::{FaultScript, Options, SampleError, SampleServer, World};
use crate::text;

/// The longest faults file that is read, in bytes.
const MOST_FAULTS_BYTES: u64 = 64 << 20;

/// The longest file of packuments that is read, in bytes. A world is held in memory.
const MOST_PACKUMENTS_BYTES: u64 = 64 << 30;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  all-docs sample --packages 5000 --port 4873
  all-docs sample --from packuments.ndjson.zst
  all-docs sample --odd                         with a document for each known oddity of npm's documents
  all-docs sample --faults faults.json          with the refusals, cut bodies and other faults that the file scripts
While it runs, type `publish NAME`, `unpublish NAME[@VERSION]`, `delete NAME`, or `help`.")]
pub(super) struct SampleArgs {
    /// The port on 127.0.0.1; 0 takes a free one and prints it
    #[arg(long, value_name = "PORT", default_value_t = 4873)]
    pub(super) port: u16,
    /// The number of packages of the generated registry
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(super) packages: usize,
    /// The seed of the generated registry: the same seed and number of packages make the same registry
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(super) seed: u64,
    /// Serve these packuments instead: files of NDJSON or a JSON array, plain or compressed
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) from: Vec<PathBuf>,
    /// Add a document for each known oddity of npm's documents: wrong types, broken JSON, strange names
    #[arg(long)]
    pub(super) odd: bool,
    /// A script of faults to inject
    #[arg(long, value_name = "FILE")]
    pub(super) faults: Option<PathBuf>,
}

pub(super) async fn run(args: SampleArgs, printer: &Printer, stop: CancellationToken) -> Result<Code> {
    let faults = match &args.faults {
        None => FaultScript::default(),
        Some(path) => {
            let text = text::read(path, "faults file", MOST_FAULTS_BYTES)?;
            FaultScript::parse(&text)
                .or_error(ErrorKind::Input, || format!("the faults file {} is not understood", path.display()))?
        }
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let start = move || {
        let mut world = match args.from.as_slice() {
            [] => World::seeded(args.seed, args.packages),
            files => {
                let mut world = World::new();
                for file in files {
                    world.add_lines(file, lines_of(file)?).map_err(no_world)?;
                }
                world
            }
        };
        if args.odd {
            world.add_odd_documents();
        }
        let packages = world.counts().packages;
        let server = SampleServer::start(world, Options { address, faults, ..Options::default() });
        Ok::<_, Error>((
            server.map_err(|error| {
                Error::input(format!("cannot serve a registry on {address}"))
                    .source(error)
                    .hint("give another --port, or 0 for a free one")
            })?,
            packages,
        ))
    };
    let (server, packages) = tokio::task::spawn_blocking(start)
        .await
        .or_error(ErrorKind::Internal, || "the task that makes the sample registry failed".to_owned())??;
    printer.note(&format!("{} packages at {} until Ctrl-C; try:", log::count(packages as u64), server.url()));
    printer.note(&format!("  all-docs ingest --pivots examples/pivots.json --origin {}", server.url()));
    printer.result(&format!("{}\n", server.url()))?;
    printer.note("commands:");
    printer.note(HELP);
    let mut lines = typed_lines();
    while let Some(Some(line)) = stop.run_until_cancelled(lines.recv()).await {
        match Line::parse(&line) {
            Ok(Line::Help) => printer.note(HELP),
            Ok(Line::Feed { fault }) => match Line::change_feed(&fault, &server.faults()) {
                Ok(script) => {
                    server.set_faults(script);
                    printer.note(if fault.is_empty() {
                        "the feed has no faults"
                    } else {
                        "the feed has this fault now"
                    });
                }
                Err(error) => printer.error(&error),
            },
            Ok(Line::Requests) => printer.note(&format!("{} requests so far", log::count(server.request_count()))),
            Ok(edit) => {
                if let Some(done) = edit.apply(&mut server.world()) {
                    printer.note(&done);
                }
            }
            Err(error) => printer.error(&error),
        }
    }
    // The end of standard input does not end the registry: it also runs without a terminal.
    stop.cancelled().await;
    Ok(Code::Done)
}

fn no_world(error: SampleError) -> Error {
    Error::input("there is no world to serve")
        .source(error)
        .hint("--from takes a packument a line (NDJSON), or a JSON array of packuments")
}

/// Reads a file of packuments, and returns one a line. The items of a JSON array become lines.
fn lines_of(path: &Path) -> Result<Bytes> {
    let mut text = text::read(path, "file of packuments", MOST_PACKUMENTS_BYTES)?;
    if text.trim_start().starts_with('[') {
        let items: Vec<Box<RawValue>> = serde_json::from_str(&text)
            .or_error(ErrorKind::Input, || format!("{} begins like a JSON array, and is none", path.display()))?;
        let line = |item: &RawValue| item.get().replace(['\n', '\r'], " ");
        text = items.iter().map(|item| line(item)).collect::<Vec<_>>().join("\n");
    }
    Ok(text.into())
}

/// Reads standard input line by line. It has its own thread, which may wait for a line for ever; the process ends
/// without it.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::io::Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
