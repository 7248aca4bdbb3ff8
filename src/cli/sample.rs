//! `all-docs sample`: the sample registry on loopback, until Ctrl-C.

use std::net::{Ipv4Addr, SocketAddr};

use tokio_util::sync::CancellationToken;

use super::args::SampleArgs;
use super::exit::Code;
use super::log;
use super::printer::Printer;
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
        let world = match args.from.as_slice() {
            [] => World::seeded(args.seed, args.packages),
            files => World::from_ndjson(files)?,
        };
        let packages = world.counts().packages;
        Ok::<_, SampleError>((SampleServer::start(world, Options { address, faults, ..Options::default() })?, packages))
    };
    let (server, packages) = tokio::task::spawn_blocking(start)
        .await
        .or_error(ErrorKind::Internal, || "making the sample registry died".to_owned())?
        .or_error(ErrorKind::Input, || format!("cannot serve a registry on {address}"))
        .map_err(|error: Error| error.hint("give another --port, or 0 for a free one"))?;
    printer.note(&format!("{} packages at {} until Ctrl-C; try:", log::count(packages as u64), server.url()));
    printer.note(&format!("  all-docs ingest --pivots examples/pivots.json --origin {}", server.url()));
    printer.result(&format!("{}\n", server.url()))?;
    stop.cancelled().await;
    Ok(Code::Done)
}
