//! Shows the program's events (retries, refusals, leases, commits, repairs) to operators, on standard error.
//!
//! Any module emits events with `tracing`; their targets are module paths. Only this module decides which are shown,
//! and in which format.

use tracing_subscriber::EnvFilter;

use super::log_format::LogFormat;
use super::printer::Printer;
use crate::error::{Error, Result};

/// The environment variable that selects events.
const VARIABLE: &str = "ALL_DOCS_LOG";
/// The first segment of the target of each event of ours.
const CRATE: &str = "all_docs";
/// The modules that a directive may name without the crate.
const MODULES: [&str; 11] =
    ["cli", "commit", "diff", "fetch", "lake", "pipeline", "query", "registry", "scan", "shard", "store"];

/// Installs the subscriber for `-v`, given `verbosity` times, and for the environment variable, which wins.
///
/// # Errors
///
/// [`crate::error::ErrorKind::Input`] if the variable has a directive that is not understood.
pub(super) fn show(verbosity: u8, format: LogFormat, printer: &Printer) -> Result<()> {
    let chosen = std::env::var(VARIABLE).ok();
    let Some(directives) = directives(verbosity, chosen.as_deref(), format) else { return Ok(()) };
    let filter = EnvFilter::builder().parse(&directives).map_err(|error| {
        Error::input(format!("{VARIABLE} is not understood: {error}"))
            .hint("give levels of modules, such as ALL_DOCS_LOG=registry=debug,pipeline=trace; the levels are error, warn, info, debug and trace")
    })?;
    let lines = printer.clone();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || lines.event_writer());
    // Only a library's caller can come here twice in one process. The first subscriber stays.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Returns the filter's directives; `None` if no event is to be shown.
fn directives(verbosity: u8, chosen: Option<&str>, format: LogFormat) -> Option<String> {
    let chosen = chosen.map(str::trim).filter(|chosen| !chosen.is_empty());
    match (chosen, verbosity, format) {
        (Some(chosen), ..) => Some(chosen.split(',').map(|part| qualified(part.trim())).collect::<Vec<_>>().join(",")),
        (None, 0, LogFormat::Text) => None,
        (None, 0, LogFormat::Json) => Some(qualified("info")),
        (None, 1, _) => Some(qualified("debug")),
        (None, ..) => Some(qualified("trace")),
    }
}

/// Adds the crate to a directive that names one of our modules, or only a level: dependencies have events too.
fn qualified(directive: &str) -> String {
    let module = directive.split(['=', ':', '[']).next().unwrap_or_default();
    match directive.contains('=') {
        false if directive.parse::<tracing::level_filters::LevelFilter>().is_ok() => format!("{CRATE}={directive}"),
        _ if MODULES.contains(&module) => format!("{CRATE}::{directive}"),
        _ => directive.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_name_modules_without_the_crate() {
        let of = |chosen| directives(0, Some(chosen), LogFormat::Text);
        assert_eq!(of("registry=debug").as_deref(), Some("all_docs::registry=debug"));
        assert_eq!(of("pipeline::lease=trace, warn").as_deref(), Some("all_docs::pipeline::lease=trace,all_docs=warn"));
        assert_eq!(of("store").as_deref(), Some("all_docs::store"));
        assert_eq!(of("hyper=info,all_docs::fetch=info").as_deref(), Some("hyper=info,all_docs::fetch=info"));
        assert_eq!(of(" "), None);
    }

    #[test]
    fn v_selects_our_events_only() {
        assert_eq!(directives(0, None, LogFormat::Text), None);
        assert_eq!(directives(0, None, LogFormat::Json).as_deref(), Some("all_docs=info"));
        assert_eq!(directives(1, None, LogFormat::Text).as_deref(), Some("all_docs=debug"));
        assert_eq!(directives(2, None, LogFormat::Json).as_deref(), Some("all_docs=trace"));
    }
}
