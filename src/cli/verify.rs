//! `all-docs verify`: proves a lake or says what is wrong with which file; with `--repair` mends it and proves it again.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::args::VerifyArgs;
use super::exit::Code;
use super::log;
use super::meter::Meter;
use super::origin::{self, OpenOrigin};
use super::printer::Printer;
use super::settings::Settings;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::pipeline::{
    IngestOptions, Mending, OriginProof, PartitionMode, Progress, Scope, ingest, no_lake, prepare_repair, read_lake,
    verify,
};
use crate::store::Store;

pub(super) async fn run(
    args: VerifyArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let store = Store::open(settings.lake())?;
    if read_lake(&store).await?.is_none() {
        return Err(no_lake(settings.lake()));
    }
    let only = match args.registry.origin.as_deref() {
        Some(text) => Some(origin::name(text, &store).await?),
        None => None,
    };
    let mut proofs = prove(&store, only.as_deref(), printer, &stop).await?;
    if args.repair && proofs.iter().any(|proof| !proof.findings.is_empty()) {
        for proof in proofs.iter().filter(|proof| !proof.findings.is_empty()) {
            tell_findings(printer, proof);
            let mendings = prepare_repair(&store, proof).await.doing(|| format!("repairing {}", proof.origin))?;
            if !mendings.is_empty() {
                let origin = open_origin(&args, &proof.origin, settings, printer, &store).await?;
                mend(&store, &origin, mendings, printer, &stop).await?;
            }
        }
        proofs = prove(&store, only.as_deref(), printer, &stop).await?;
    }
    if args.json {
        let text = serde_json::to_string_pretty(&proofs)
            .or_error(ErrorKind::Internal, || "the proof cannot be spelled as JSON".to_owned())?;
        printer.result(&format!("{text}\n"))?;
    } else {
        printer.result(&describe(&store, &proofs))?;
    }
    let is_sound = proofs.iter().all(|proof| proof.findings.is_empty());
    if !is_sound && !args.repair {
        printer.note("all-docs verify --repair makes anew what is broken");
    }
    Ok(if is_sound { Code::Done } else { Code::Lake })
}

async fn prove(
    store: &Store,
    only: Option<&str>,
    printer: &Printer,
    stop: &CancellationToken,
) -> Result<Vec<OriginProof>> {
    let progress = Arc::new(Progress::default());
    let meter = Meter::start(printer, Arc::clone(&progress));
    let proofs = verify(store, only, progress, stop.clone()).await;
    drop(meter);
    proofs.doing(|| format!("verifying {}", store.location()))
}

/// The registry that an origin of the lake came from, or the one that the user gives.
async fn open_origin(
    args: &VerifyArgs,
    name: &str,
    settings: &Settings,
    printer: &Printer,
    store: &Store,
) -> Result<OpenOrigin> {
    let mut registry_args = args.registry.clone();
    registry_args.origin.get_or_insert_with(|| name.to_owned());
    origin::open(&registry_args, settings, printer, store).await
}

/// Ingests each broken partition anew.
async fn mend(
    store: &Store,
    origin: &OpenOrigin,
    mendings: Vec<Mending>,
    printer: &Printer,
    stop: &CancellationToken,
) -> Result<()> {
    let name = &origin.registry.origin().name;
    for mending in mendings {
        printer.note(&format!(
            "repairing {name} {}: {} documents are sound and are not asked for again",
            mending.partition,
            log::count(mending.documents_saved)
        ));
        let partition = mending.partition.clone();
        let is_ended = mend_one(store, origin, mending, printer, stop)
            .await
            .doing(|| format!("making the partition {partition} of {name} anew"))?;
        if !is_ended {
            return Err(Error::interrupted().hint("an ingest, or the same command, goes on where this one stopped"));
        }
    }
    Ok(())
}

/// Answers whether it came to its end.
async fn mend_one(
    store: &Store,
    origin: &OpenOrigin,
    mending: Mending,
    printer: &Printer,
    stop: &CancellationToken,
) -> Result<bool> {
    let options = IngestOptions {
        scope: Scope::Range(mending.partition),
        partitions: PartitionMode::Exact,
        representation: mending.representation,
        selection: mending.selection,
        ..IngestOptions::new(store.clone(), origin.registry.clone(), origin.info.clone())
    };
    let progress = Arc::new(Progress::default());
    let meter = Meter::start(printer, Arc::clone(&progress));
    let summary = ingest(options, progress, stop.clone()).await;
    drop(meter);
    Ok(!summary?.interrupted)
}

fn tell_findings(printer: &Printer, proof: &OriginProof) {
    for finding in &proof.findings {
        printer.note(&format!("{}: {}", finding.file, finding.reason));
    }
}

fn describe(store: &Store, proofs: &[OriginProof]) -> String {
    let count = log::count;
    let mut lines = vec![format!("lake {}", store.location())];
    for proof in proofs {
        lines.push(format!(
            "\norigin {}: {} of {} partitions committed, {} shards, {} rows, {}",
            proof.origin,
            count(proof.partitions_committed),
            count(proof.partitions_total),
            count(proof.shards),
            count(proof.rows),
            log::bytes(proof.size_bytes),
        ));
        lines.push(format!(
            "  {} names: {} with a document, {} without one and with an outcome that says why, {} not asked for",
            count(proof.names),
            count(proof.names_with_document),
            count(proof.names_without_document),
            count(proof.names_not_asked),
        ));
        lines.extend(proof.notes.iter().map(|note| format!("  note: {note}")));
        if proof.findings.is_empty() {
            lines.push("  sound".to_owned());
        } else {
            lines.push(format!("  wrong: {}", count(proof.findings.len() as u64)));
            lines.extend(proof.findings.iter().map(|finding| format!("  {}: {}", finding.file, finding.reason)));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
