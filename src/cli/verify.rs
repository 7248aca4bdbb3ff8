//! `all-docs verify`: checks a lake, or reports each file that is wrong and why. `--repair` repairs the lake and checks
//! it again.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::log;
use super::meter::Meter;
use super::origin::{self, OpenOrigin};
use super::printer::Printer;
use super::registry_args::RegistryArgs;
use super::settings::Settings;
use super::usage::WithUsage;
use crate::error::{Doing, Error, Result};
use crate::lake::{Layout, OriginInfo};
use crate::pipeline::{
    Fault, Finding, IngestOptions, LakeProof, Mending, PartitionMode, Progress, Scope, ingest, prepare_repair,
    read_lake, repair_overlay, repair_records, verify, verify_quickly,
};
use crate::registry::Origin;
use crate::store::Store;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The command reads every shard. It checks the rows, bytes and digest of each against its manifest, the order and range \
of its names, the tables against each other, the lake metadata and the count of requests. It also checks the folders \
for foreign files: one that a reader of a table would read with it is wrong, any other is mentioned. A file that the \
system refuses to read is unreadable, not damaged. A table's folder on another file system or mount is wrong, because no \
ingest can move shards into it. The command can run beside an ingest. Every object of the arrays is read too, and compared with \
the others. The exit code is 4 if something is wrong. Without --origin, the command checks every origin of the lake.

--quick lists the lake and reads its manifests: a few requests to a bucket. It finds files that are missing, foreign or \
of another size, commits that were not ended, and events that cannot be drained. It does not find other bytes of the same \
size.

--repair ends interrupted commits, moves foreign files to set-aside/, and rebuilds broken partitions: it takes their \
documents from the files that are still intact, and requests the rest from the registry. It also rebuilds lost lake \
metadata; the address of an origin is stored nowhere else, so --origin must give it. Releases and the dependency graph are \
made again from the tables. Of download counts it moves the damaged object aside and keeps all others; all-docs downloads \
--since asks for the lost days again, and the exit code is 6. Then it checks the lake again.

Examples:
  all-docs verify
  all-docs verify --json --origin npm
  all-docs verify --quick --lake s3://bucket/lake
  all-docs verify --repair                 asks the registries that the lake came from
  all-docs verify --repair --origin mirror=https://npm.example.com   where the lake metadata lost it")]
pub(super) struct VerifyArgs {
    /// Repair what is wrong, and check again
    #[arg(long)]
    pub(super) repair: bool,
    /// Compare only the names and sizes of files with the manifests, and read no shard
    #[arg(long, conflicts_with = "repair")]
    pub(super) quick: bool,
    /// Print the result as JSON on standard output
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
}

pub(super) async fn run(
    args: VerifyArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let store = settings.open_lake_to_write().await?;
    let given = given(&args, settings)?;
    let only = given.as_ref().map(|given| given.name.as_str());
    let mut proof = prove(&store, only, args.quick, printer, &stop).await?;
    let mut loses_counts = false;
    if args.repair && !proof.is_sound() {
        loses_counts = repair(&store, &args, given.as_ref(), &proof, settings, printer, &stop).await?;
        proof = prove(&store, only, false, printer, &stop).await?;
    }
    if args.json {
        printer.json(&WithUsage::new(&proof, &store))?;
    } else {
        printer.result(&describe(&store, &proof))?;
    }
    let mut faults = proof.findings.iter().chain(proof.origins.iter().flat_map(|origin| &origin.findings));
    if !args.repair && faults.any(|finding| !matches!(finding.fault, Fault::Unreadable | Fault::Elsewhere)) {
        printer.note("all-docs verify --repair rebuilds broken partitions");
    }
    Ok(match proof.is_sound() {
        true if loses_counts => Code::Incomplete,
        true => Code::Done,
        false => Code::Lake,
    })
}

/// The origin that `--origin` gives, independent of the lake metadata.
struct Given {
    name: String,
    /// Its addresses; `None` if only a name is given.
    addresses: Option<OriginInfo>,
}

fn given(args: &VerifyArgs, settings: &Settings) -> Result<Option<Given>> {
    let Some(text) = args.registry.origin.as_deref() else { return Ok(None) };
    let (name, place) = origin::given_name(text).map_or((None, text), |(name, place)| (Some(name), place));
    match Origin::parse(place, settings.registry(args.registry.registry.as_deref())) {
        Ok(origin) => Ok(Some(Given {
            name: name.unwrap_or(&origin.name).to_owned(),
            addresses: Some(OriginInfo {
                replicate_url: origin.replicate_url.into(),
                registry_url: origin.registry_url.into(),
            }),
        })),
        Err(_) if Layout::is_origin_name(text) => Ok(Some(Given { name: text.to_owned(), addresses: None })),
        Err(error) => Err(error),
    }
}

/// Repairs the findings of a proof. It first repairs the records that say which origins there are, then asks those
/// origins for the rest. Returns whether download counts are lost.
async fn repair(
    store: &Store,
    args: &VerifyArgs,
    given: Option<&Given>,
    proof: &LakeProof,
    settings: &Settings,
    printer: &Printer,
    stop: &CancellationToken,
) -> Result<bool> {
    tell_findings(printer, &proof.findings);
    let addresses = given.and_then(|given| Some((given.name.as_str(), given.addresses.as_ref()?)));
    let repaired = repair_records(store, addresses).await.doing(|| format!("repairing {}", store.location()))?;
    repaired.iter().for_each(|what| printer.note(what));
    let known = read_lake(store).await.ok().flatten().map(|info| info.origins).unwrap_or_default();
    // Only a build with arrays can lose any.
    #[cfg_attr(not(feature = "array"), expect(unused_mut))]
    let mut loses_counts = false;
    for proof in proof.origins.iter().filter(|proof| !proof.findings.is_empty()) {
        tell_findings(printer, &proof.findings);
        if !known.contains_key(&proof.origin) {
            // Without a registry to ask, a document that is taken out could not be fetched again.
            printer
                .warn(&format!("{} is not repaired: the lake metadata does not say where it came from", proof.origin));
            continue;
        }
        let of_overlay =
            repair_overlay(store, proof).await.doing(|| format!("repairing the overlay of {}", proof.origin))?;
        of_overlay.iter().for_each(|what| printer.warn(what));
        let mendings = prepare_repair(store, proof).await.doing(|| format!("repairing {}", proof.origin))?;
        if !mendings.is_empty() {
            let origin = open_origin(args, &proof.origin, settings, printer, store).await?;
            mend(store, &origin, mendings, printer, stop).await?;
        }
        #[cfg(feature = "array")]
        {
            let repaired = crate::pipeline::repair_arrays(store, proof, stop.clone()).await;
            let repaired = repaired.doing(|| format!("repairing the arrays of {}", proof.origin))?;
            repaired.notes.iter().for_each(|what| printer.note(what));
            repaired.lost.iter().for_each(|what| printer.warn(what));
            loses_counts |= !repaired.lost.is_empty();
        }
    }
    Ok(loses_counts)
}

/// Checks a lake, or one of its origins, and shows the progress.
pub(super) async fn prove(
    store: &Store,
    only: Option<&str>,
    is_quick: bool,
    printer: &Printer,
    stop: &CancellationToken,
) -> Result<LakeProof> {
    let progress = Arc::new(Progress::default());
    let meter = Meter::start(printer, Arc::clone(&progress));
    let proof = match is_quick {
        true => verify_quickly(store, only, progress, stop.clone()).await,
        false => verify(store, only, progress, stop.clone()).await,
    };
    drop(meter);
    proof.doing(|| format!("verifying {}", store.location()))
}

/// Opens the registry that an origin of the lake came from, or the one that the user gives.
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

/// Ingests each broken partition again.
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
            "repairing {name} {}: {} documents are intact and are not requested again",
            mending.partition,
            log::count(mending.documents_saved)
        ));
        let partition = mending.partition.clone();
        let is_ended = mend_one(store, origin, mending, printer, stop)
            .await
            .doing(|| format!("rebuilding the partition {partition} of {name}"))?;
        if !is_ended {
            return Err(Error::interrupted().hint("an ingest, or the same command, resumes where this one stopped"));
        }
    }
    Ok(())
}

/// Ingests one partition. Returns whether the ingest finished.
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

fn tell_findings(printer: &Printer, findings: &[Finding]) {
    for finding in findings {
        printer.note(&format!("{}: {}", finding.file, finding.reason));
    }
}

/// Formats the result of a check.
pub(super) fn describe(store: &Store, lake: &LakeProof) -> String {
    let count = log::count;
    let mut lines = vec![format!("lake {}", store.location())];
    lines.extend(lake.notes.iter().map(|note| format!("  note: {note}")));
    if !lake.findings.is_empty() {
        lines.extend(wrong(&lake.findings));
    }
    for proof in &lake.origins {
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
            "  {} names: {} with a document, {} without one and with an outcome that says why, {} not requested",
            count(proof.names),
            count(proof.names_with_document),
            count(proof.names_without_document),
            count(proof.names_not_asked),
        ));
        if proof.array_objects > 0 {
            let (objects, bytes) = (count(proof.array_objects), log::bytes(proof.array_bytes));
            lines.push(format!("  arrays: {objects} objects, {bytes}"));
        }
        lines.extend(proof.notes.iter().map(|note| format!("  note: {note}")));
        if proof.findings.is_empty() {
            lines.push("  sound".to_owned());
        } else {
            lines.extend(wrong(&proof.findings));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn wrong(findings: &[Finding]) -> impl Iterator<Item = String> {
    let head = format!("  wrong: {}", log::count(findings.len() as u64));
    std::iter::once(head).chain(findings.iter().map(|finding| format!("  {}: {}", finding.file, finding.reason)))
}
