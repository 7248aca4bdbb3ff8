//! The arguments of commands that send requests to a registry.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::ValueEnum;

/// The registry to read, and the limits of its use.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RegistryArgs {
    /// The registry to read: npm, sample (a built-in registry on loopback), the URL of one server for everything,
    /// NAME=URL to call it NAME in the lake and in SQL, or the name of an origin that the lake has [default: npm]
    #[arg(long, value_name = "ORIGIN", env = "ALL_DOCS_ORIGIN")]
    pub(super) origin: Option<String>,
    /// Fetch packuments from this URL instead of the origin's own
    #[arg(long, value_name = "URL", env = "ALL_DOCS_REGISTRY")]
    pub(super) registry: Option<String>,
    /// Most concurrent requests per host, of all processes of this user and machine together; the lowest of their
    /// limits holds [default: 64 for packuments, 8 for pages]
    #[arg(long, value_name = "N", env = "ALL_DOCS_CONCURRENCY", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) concurrency: Option<u32>,
    /// Most requests per second and host, of all processes of this user and machine together; the lowest of their
    /// limits holds. Processes find each other in the folder for temporary files, or in ALL_DOCS_RUNTIME_DIR [default:
    /// 200 for packuments, 20 for pages, no limit for a server on this machine]
    #[arg(long, value_name = "N", env = "ALL_DOCS_RATE", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: Option<u32>,
    /// Most requests per host and calendar month, counted in the lake; the run stops at the limit [default: 4000000,
    /// none on this machine]
    #[arg(long, value_name = "N", env = "ALL_DOCS_MONTHLY_BUDGET")]
    pub(super) monthly_budget: Option<NonZeroU64>,
    /// Largest document, decoded; a larger one has the outcome oversize, and is requested again when this is raised
    /// [default: 268435456]
    #[arg(long, value_name = "BYTES", env = "ALL_DOCS_MAX_DOCUMENT_BYTES")]
    pub(super) max_document_bytes: Option<NonZeroU64>,
    /// The user's .npmrc with credentials, instead of ~/.npmrc; ./.npmrc and NPM_TOKEN are also read. Its
    /// @scope:registry lines are ignored: an origin's documents come from the origin
    #[arg(long, value_name = "FILE", env = "NPM_CONFIG_USERCONFIG")]
    pub(super) userconfig: Option<PathBuf>,
    /// Packages of the built-in sample registry (with --origin sample)
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(super) packages: usize,
}

/// The documents that an ingest fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Packuments {
    /// The full packuments.
    Full,
    /// The smaller install-v1 form; columns that it cannot know are null.
    Abbreviated,
    /// None: the ingest makes only the table docs.
    None,
}
