//! The arguments of commands that send requests to a registry.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

/// The registry to read, and the limits of its use.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RegistryArgs {
    /// The registry to read: npm, sample (a built-in registry on loopback), the URL of one server for everything,
    /// NAME=URL to call it NAME in the lake and in SQL, or the name of an origin that the lake has [default: npm]
    #[arg(long, value_name = "ORIGIN", env = "ALL_DOCS_ORIGIN", hide_env_values = true)]
    pub(super) origin: Option<String>,
    /// Fetch packuments from this URL instead of the origin's own
    #[arg(long, value_name = "URL", env = "ALL_DOCS_REGISTRY", hide_env_values = true)]
    pub(super) registry: Option<String>,
    /// Most concurrent requests per host, of all processes of this user and machine together; the lowest of their
    /// limits holds [default: 64 for packuments, 8 for pages, 2 for download counts]
    #[arg(long, value_name = "N", env = "ALL_DOCS_CONCURRENCY", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) concurrency: Option<u32>,
    /// Most requests per second and host, of all processes of this user and machine together; the lowest of their
    /// limits holds. Processes find each other in the folder for temporary files, or in ALL_DOCS_RUNTIME_DIR [default:
    /// 200 for packuments, 20 for pages, 1 for download counts, no limit for a server on this machine]
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
    /// The user's .npmrc with credentials and network settings, instead of that of NPM_CONFIG_USERCONFIG or ~/.npmrc;
    /// ./.npmrc, npm_config_… variables and NPM_TOKEN are also read. Its @scope:registry lines are ignored: an
    /// origin's documents come from the origin
    #[arg(long, value_name = "FILE")]
    pub(super) userconfig: Option<PathBuf>,
    /// How long a host may refuse or fail, as 90s, 5m or 1h, before the run ends. A host that names a later time
    /// (Retry-After) ends it at once. The shortest patience of all processes holds [default: 1h, 2h for download
    /// counts]
    #[arg(long, value_name = "DURATION", env = "ALL_DOCS_PATIENCE", value_parser = patience)]
    pub(super) patience: Option<Duration>,
    /// Trust the certificates of this PEM file too, besides the system's (or those of SSL_CERT_FILE), those of
    /// NODE_EXTRA_CA_CERTS, and cafile and ca of .npmrc
    #[arg(long, value_name = "FILE", env = "ALL_DOCS_CAFILE")]
    pub(super) cafile: Option<PathBuf>,
    /// Reach all hosts through this proxy, also servers on this machine, or "none" for no proxy: http, https, socks5,
    /// socks5h, socks4 or socks4a. Without this flag https-proxy, proxy and noproxy of .npmrc apply, then HTTPS_PROXY,
    /// HTTP_PROXY, ALL_PROXY and NO_PROXY, and servers on this machine are reached without a proxy
    #[arg(long, value_name = "URL", env = "ALL_DOCS_PROXY", hide_env_values = true)]
    pub(super) proxy: Option<String>,
    /// Send this header to the hosts of the origin, and to no other host that they redirect to; repeatable. It is never
    /// printed. ALL_DOCS_HEADER holds one a line
    #[arg(long, value_name = "NAME: VALUE", env = "ALL_DOCS_HEADER", hide_env_values = true, value_delimiter = '\n')]
    pub(super) header: Vec<String>,
    /// A way to reach you, added to the User-Agent: a mail address or a URL. A heavy crawler should give one
    #[arg(long, value_name = "TEXT", env = "ALL_DOCS_USER_AGENT_CONTACT")]
    pub(super) user_agent_contact: Option<String>,
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

/// Parses a duration such as `90s`, `5m`, `1h 30m` or `2d`. The error is a sentence for the user.
pub(super) fn patience(text: &str) -> Result<Duration, String> {
    let day = jiff::SpanRelativeTo::days_are_24_hours();
    let span = text.trim().parse::<jiff::Span>().and_then(|span| span.to_duration(day));
    let duration = span.ok().and_then(|span| Duration::try_from(span).ok());
    duration.ok_or_else(|| "give a duration with its unit: 90s, 5m, 1h".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_a_duration_with_a_unit() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("2d", 172_800), ("0s", 0)] {
            assert_eq!(patience(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "90", "-5m", "soon", "1 fortnight"] {
            assert!(patience(text).is_err(), "{text}");
        }
    }
}
