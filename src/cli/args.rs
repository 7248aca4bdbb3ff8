//! What was typed: flags and environment, parsed and nothing more.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::cache::CacheCommand;
use super::packument::PackumentCommand;
use super::partition::PartitionCommand;
use super::pivots::PivotsArgs;
#[cfg(feature = "query")]
use super::query::{QueryArgs, ViewsArgs};

/// The npm registry as columns: crawl it into a lake of Parquet, ask it in SQL.
#[derive(Debug, Parser)]
#[command(
    name = "all-docs",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Settings: a flag wins over its environment variable, that over all-docs.toml in the current folder \
                  (members: lake, origin, registry, pivots, concurrency, rate, partition-rows), that over the default.\n\n\
                  Exit codes: 0 done · 1 failed · 2 bad arguments or input · 3 network · 4 lake · 5 rate limit would \
                  not lift · 6 done, but not complete (the table outcomes says which names and why) · 130 interrupted."
)]
pub(super) struct Args {
    /// Where the lake lies: a folder or a file:// URL [default: lake]
    #[arg(long, global = true, value_name = "PLACE", env = "ALL_DOCS_LAKE")]
    pub(super) lake: Option<String>,
    /// A settings file instead of ./all-docs.toml
    #[arg(long, global = true, value_name = "FILE", env = "ALL_DOCS_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Print results and errors only: no progress, notes or warnings; the exit code says what there is to know
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Crawl a registry into a lake, or bring a lake up to date
    Ingest(IngestArgs),
    /// Ask a lake: in SQL, or by the name of a view or report
    #[cfg(feature = "query")]
    Query(QueryArgs),
    /// List the views and reports, with an example of each
    #[cfg(feature = "query")]
    Views(ViewsArgs),
    /// Not in this build, which has no SQL
    #[cfg(not(feature = "query"))]
    #[command(hide = true, alias = "views", disable_help_flag = true)]
    Query(AnythingArgs),
    /// Say what a lake holds, and what a running ingest is doing
    Status(StatusArgs),
    /// Prove that a lake is whole and sound, or say what is wrong; with --repair mend it
    Verify(VerifyArgs),
    /// List the registry's names into partitions, and show the partitions
    #[command(subcommand)]
    Partition(PartitionCommand),
    /// Fetch, show and export documents
    #[command(subcommand)]
    Packument(PackumentCommand),
    /// Index, list, check and clear what a lake holds
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Make pivots that part all names evenly, from a lake or by asking a registry
    Pivots(PivotsArgs),
    /// Serve the sample registry on loopback: a small npm that can change and misbehave
    Sample(SampleArgs),
}

/// The arguments of a command that this build does not have.
#[cfg(not(feature = "query"))]
#[derive(Debug, clap::Args)]
pub(super) struct AnythingArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _all: Vec<std::ffi::OsString>,
}

/// Which documents an ingest fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Packuments {
    /// The full packuments.
    Full,
    /// The smaller install-v1 form; columns that it cannot know are null.
    Abbreviated,
    /// None: only the table docs is made.
    None,
}

/// How the lake's partition set is made on its first ingest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Partitions {
    /// Join small ranges and cut large ones, to about --partition-rows rows each.
    Derived,
    /// Take the ranges of the pivots as they are.
    Exact,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Pivots say how the name space is scanned: N keys make N+1 ranges, each paged to its end. The file is a JSON array, one \
key a line, or JavaScript (module.exports = […], export default […], export const pivots = […], computed code included); \
a leading or trailing null is an open end.

Examples:
  all-docs ingest --pivots examples/pivots.json --origin sample --lake lake
  all-docs ingest                                        by the lake's partitions, or balanced ones of a new lake
  all-docs ingest --origin mirror=https://npm.example.com   another registry, beside it in the same lake
  all-docs ingest --pivots pivots.js                     the public npm registry, into ./lake
  all-docs ingest --pivots pivots.js --packuments none   names and revisions only: a request for each range, more for long ones
  all-docs ingest --pivots pivots.js --names list.txt    documents of these packages only
  all-docs ingest --pivots pivots.js --dry-run           what would be fetched, and why")]
pub(super) struct IngestArgs {
    /// The pivots file [default: the lake's own partitions; for a new lake, balanced pivots that the registry is asked for]
    #[arg(long, value_name = "FILE", env = "ALL_DOCS_PIVOTS")]
    pub(super) pivots: Option<PathBuf>,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
    /// Which documents to fetch
    #[arg(long, value_enum, default_value_t = Packuments::Full)]
    pub(super) packuments: Packuments,
    /// Fetch the documents of these names only: a JSON array, or a name (or name@version) a line with # comments
    #[arg(long, value_name = "FILE")]
    pub(super) names: Option<PathBuf>,
    /// How the partitions of a new lake are made. A lake that has partitions keeps them, and a warning says so where this
    /// asks for others [default: derived]
    #[arg(long, value_enum)]
    pub(super) partitions: Option<Partitions>,
    /// Rows a partition of a new lake should have; one that has partitions keeps them, as above [default: 10000]
    #[arg(long, value_name = "N", env = "ALL_DOCS_PARTITION_ROWS")]
    pub(super) partition_rows: Option<NonZeroU64>,
    /// Say what would be fetched and rewritten, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Ask for every selected document again, by its ETag: one that did not change costs no body
    #[arg(long)]
    pub(super) refresh: bool,
    /// Believe a registry that no longer has many of the lake's names or documents, and drop them; without it the run
    /// ends instead
    #[arg(long)]
    pub(super) accept_removals: bool,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    pub(super) json: bool,
}

/// Where to read, and with which manners.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RegistryArgs {
    /// Where to read: npm, sample (a built-in registry on loopback), the URL of one server for everything, NAME=URL to
    /// call it NAME in the lake and in SQL, or the name of an origin that the lake has [default: npm]
    #[arg(long, value_name = "ORIGIN", env = "ALL_DOCS_ORIGIN")]
    pub(super) origin: Option<String>,
    /// Fetch packuments from this URL instead of the origin's own
    #[arg(long, value_name = "URL", env = "ALL_DOCS_REGISTRY")]
    pub(super) registry: Option<String>,
    /// Most requests under way per host, of all processes of this user and machine together; the lowest of theirs holds
    /// [default: 64 for packuments, 8 for pages]
    #[arg(long, value_name = "N", env = "ALL_DOCS_CONCURRENCY", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) concurrency: Option<u32>,
    /// Most requests per second and host, of all processes of this user and machine together; the lowest of theirs holds.
    /// They find each other in the folder for temporary files, or in that of ALL_DOCS_RUNTIME_DIR [default: 200 for
    /// packuments, 20 for pages, no limit for a server on this machine]
    #[arg(long, value_name = "N", env = "ALL_DOCS_RATE", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: Option<u32>,
    /// Most requests per host and calendar month, counted in the lake; then the run stops [default: 4000000, none on
    /// this machine]
    #[arg(long, value_name = "N", env = "ALL_DOCS_MONTHLY_BUDGET")]
    pub(super) monthly_budget: Option<NonZeroU64>,
    /// Largest document, decoded; a larger one is the outcome oversize, and is asked for again when this is raised
    /// [default: 268435456]
    #[arg(long, value_name = "BYTES", env = "ALL_DOCS_MAX_DOCUMENT_BYTES")]
    pub(super) max_document_bytes: Option<NonZeroU64>,
    /// The user's .npmrc with credentials, instead of ~/.npmrc; ./.npmrc and NPM_TOKEN are read as well. Its
    /// @scope:registry lines are not used: an origin's documents come from the origin
    #[arg(long, value_name = "FILE", env = "NPM_CONFIG_USERCONFIG")]
    pub(super) userconfig: Option<PathBuf>,
    /// Packages of the built-in sample registry (with --origin sample)
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(super) packages: usize,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every shard is read: its rows, bytes and digest against its manifest, the order and range of its names, the tables \
against each other, the front page and the count of requests, and the folders for files that do not belong there: one \
that a reader of a table would read with it is wrong, any other is mentioned. Exit code 4 when something is wrong. Without \
--origin, every origin of the lake is proved.

--repair ends interrupted commits, moves files that do not belong to set-aside/, and makes broken partitions anew: their \
documents are taken from what is still sound, and the registry is asked for the rest. A front page that was lost is made \
anew; where an origin came from stands nowhere else, so --origin has to say it. Then the lake is proved again.

Examples:
  all-docs verify
  all-docs verify --json --origin npm
  all-docs verify --repair                 asks the registries that the lake came from
  all-docs verify --repair --origin mirror=https://npm.example.com   where the front page lost it")]
pub(super) struct VerifyArgs {
    /// Mend what is wrong, and prove it again
    #[arg(long)]
    pub(super) repair: bool,
    /// Print the proof as JSON on standard output
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Print it as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  all-docs sample --packages 5000 --port 4873
  all-docs sample --from packuments.ndjson.zst
  all-docs sample --odd                         with a document for each oddity that is known of npm's
  all-docs sample --faults faults.json          refusals, cut bodies and the like, as the file scripts them
While it runs, type `publish NAME`, `unpublish NAME[@VERSION]`, `delete NAME`, or `help`.")]
pub(super) struct SampleArgs {
    /// The port on 127.0.0.1; 0 takes a free one and says which
    #[arg(long, value_name = "PORT", default_value_t = 4873)]
    pub(super) port: u16,
    /// How many packages the made-up registry has
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(super) packages: usize,
    /// What the made-up registry is made from: the same seed and number make the same registry
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(super) seed: u64,
    /// Serve these packuments instead: NDJSON files, plain, .gz or .zst
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) from: Vec<PathBuf>,
    /// Add a document for each oddity that is known of npm's: wrong types, broken JSON, strange names
    #[arg(long)]
    pub(super) odd: bool,
    /// A script of faults to play
    #[arg(long, value_name = "FILE")]
    pub(super) faults: Option<PathBuf>,
}
