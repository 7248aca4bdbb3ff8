//! `all-docs sample`: the sample registry on loopback, until Ctrl-C.

use tokio_util::sync::CancellationToken;

use super::args::SampleArgs;
use super::exit::Code;
use super::log;
use super::printer::Printer;
use crate::error::{Context, ErrorKind, Result};
use crate::sample::{FaultScript, SampleOptions, SampleServer, World};

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
    let world = tokio::task::spawn_blocking(move || {
        if args.from.is_empty() { Ok(World::seeded(args.seed, args.packages)) } else { World::from_ndjson(&args.from) }
    })
    .await
    .or_error(ErrorKind::Internal, || "making the sample registry died".to_owned())?
    .or_error(ErrorKind::Input, || "cannot read the packuments to serve".to_owned())?;
    let packages = world.package_count() as u64;
    let server = SampleServer::start(world, SampleOptions { port: args.port, faults, ..SampleOptions::default() })
        .await
        .or_error(ErrorKind::Input, || format!("cannot listen on 127.0.0.1:{}", args.port))
        .map_err(|error| error.hint("give another --port, or 0 for a free one"))?;
    printer.note(&format!("{} packages at {} until Ctrl-C; try:", log::count(packages), server.url()));
    printer.note(&format!("  all-docs ingest --pivots examples/pivots.json --origin {}", server.url()));
    printer.result(&format!("{}\n", server.url()))?;
    stop.cancelled().await;
    Ok(Code::Done)
}
