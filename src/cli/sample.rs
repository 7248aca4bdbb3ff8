//! `all-docs sample`: the sample registry on loopback, until Ctrl-C, changed by what is typed meanwhile.

use std::io::BufRead;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::args::SampleArgs;
use super::exit::Code;
use super::log;
use super::printer::Printer;
use super::sample_edits::{HELP, Line};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::sample::{FaultScript, Options, SampleError, SampleServer, World};

pub(super) async fn run(args: SampleArgs, printer: &Printer, stop: CancellationToken) -> Result<Code> {
    let faults = match &args.faults {
        None => FaultScript::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .or_error(ErrorKind::Input, || format!("cannot read the faults file {}", path.display()))?;
            FaultScript::parse(&text)
                .or_error(ErrorKind::Input, || format!("the faults file {} is not understood", path.display()))?
        }
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let start = move || {
        let mut world = match args.from.as_slice() {
            [] => World::seeded(args.seed, args.packages),
            files => World::from_ndjson(files)?,
        };
        if args.odd {
            world.add_odd_documents();
        }
        let packages = world.counts().packages;
        Ok::<_, SampleError>((SampleServer::start(world, Options { address, faults, ..Options::default() })?, packages))
    };
    let (server, packages) = tokio::task::spawn_blocking(start)
        .await
        .or_error(ErrorKind::Internal, || "making the sample registry died".to_owned())?
        .map_err(|error| match error {
            SampleError::Start { .. } => Error::input(format!("cannot serve a registry on {address}"))
                .source(error)
                .hint("give another --port, or 0 for a free one"),
            error => Error::input("there is no world to serve").source(error),
        })?;
    printer.note(&format!("{} packages at {} until Ctrl-C; try:", log::count(packages as u64), server.url()));
    printer.note(&format!("  all-docs ingest --pivots examples/pivots.json --origin {}", server.url()));
    printer.result(&format!("{}\n", server.url()))?;
    printer.note("what can be typed meanwhile:");
    printer.note(HELP);
    let mut lines = typed_lines();
    while let Some(Some(line)) = stop.run_until_cancelled(lines.recv()).await {
        match Line::parse(&line) {
            Ok(Line::Help) => printer.note(HELP),
            Ok(Line::Requests) => printer.note(&format!("{} requests so far", log::count(server.request_count()))),
            Ok(edit) => {
                if let Some(done) = edit.apply(&mut server.world()) {
                    printer.note(&done);
                }
            }
            Err(error) => printer.error(&error),
        }
    }
    // The end of what is typed is not the end of the registry: it also runs without a terminal.
    stop.cancelled().await;
    Ok(Code::Done)
}

/// What is typed, line by line. A thread of its own: it may wait for a line for ever, and the process ends without it.
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
