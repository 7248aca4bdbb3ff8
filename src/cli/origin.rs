//! Opens a registry by arguments, `.npmrc` files and the environment.

use std::path::PathBuf;

use super::log;
use super::network;
use super::printer::Printer;
use super::registry_args::RegistryArgs;
use super::settings::Settings;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{Layout, OriginInfo};
use crate::pipeline::read_lake;
use crate::registry::{Fleet, Origin, Registry, RegistryConfig};
use crate::sample::{Options, SampleServer, World};
use crate::store::Store;

/// The name of the built-in sample registry, which this process serves on loopback.
const SAMPLE: &str = "sample";
/// The seed of the built-in sample registry. It is fixed to keep the README's numbers valid.
const SAMPLE_SEED: u64 = 1;

/// An open registry, and the sample server if it is that.
pub(super) struct OpenOrigin {
    pub(super) registry: Registry,
    /// The addresses as the lake metadata stores them.
    pub(super) info: OriginInfo,
    _sample: Option<SampleServer>,
}

/// Opens the origin that the arguments and settings name, and starts the sample registry if it is that. An origin of
/// the lake in `store` needs only its name.
pub(super) async fn open(
    args: &RegistryArgs,
    settings: &Settings,
    printer: &Printer,
    store: &Store,
) -> Result<OpenOrigin> {
    open_with(args, None, None, settings, printer, store).await
}

/// Does so for a process of a fleet, if there is one.
pub(super) async fn open_in_fleet(
    args: &RegistryArgs,
    fleet: Option<Fleet>,
    settings: &Settings,
    printer: &Printer,
    store: &Store,
) -> Result<OpenOrigin> {
    open_with(args, None, fleet, settings, printer, store).await
}

/// Does so, and takes download counts from `downloads_url` if one is given.
#[cfg(feature = "array")]
pub(super) async fn open_with_downloads(
    args: &RegistryArgs,
    downloads_url: Option<&str>,
    settings: &Settings,
    printer: &Printer,
    store: &Store,
) -> Result<OpenOrigin> {
    open_with(args, downloads_url, None, settings, printer, store).await
}

async fn open_with(
    args: &RegistryArgs,
    downloads_url: Option<&str>,
    fleet: Option<Fleet>,
    settings: &Settings,
    printer: &Printer,
    store: &Store,
) -> Result<OpenOrigin> {
    let text = settings.origin(args.origin.as_deref());
    let registry_url = settings.registry(args.registry.as_deref());
    let sample = if text == SAMPLE { Some(start_sample(args.packages, printer).await?) } else { None };
    let mut origin = match &sample {
        Some(server) => Origin::parse(server.url(), registry_url)?,
        None => resolve(text, registry_url, store).await?,
    };
    if let Some(url) = downloads_url {
        origin = origin.with_downloads(url)?;
    }
    let info = match &sample {
        // The port differs each time, so the lake does not store it.
        Some(_) => {
            SAMPLE.clone_into(&mut origin.name);
            OriginInfo { replicate_url: SAMPLE.to_owned(), registry_url: SAMPLE.to_owned() }
        }
        None => OriginInfo {
            replicate_url: origin.replicate_url.to_string(),
            registry_url: origin.registry_url.to_string(),
        },
    };
    let mut config = config(args, settings, &origin)?;
    config.fleet = fleet;
    if config.fleet.is_none() {
        config.runtime_folder = runtime_folder(printer);
    }
    let credentials = network::configure(&mut config, args, settings, printer)?;
    let registry = Registry::new(origin, config, credentials)?;
    Ok(OpenOrigin { registry, info, _sample: sample })
}

/// Resolves `npm`, a URL, `NAME=URL`, or the name of an origin of the lake.
async fn resolve(text: &str, registry_url: Option<&str>, store: &Store) -> Result<Origin> {
    if let Some((name, url)) = given_name(text) {
        let mut origin = Origin::parse(url, registry_url)?;
        name.clone_into(&mut origin.name);
        return Ok(origin);
    }
    if Layout::is_origin_name(text)
        && let Some(info) = read_lake(store).await?
    {
        let npm = Origin::npm()?;
        match info.origins.get(text) {
            // A user may have named another registry npm. Its names must not be mixed with npm's own.
            Some(urls) if text != npm.name || urls.replicate_url != npm.replicate_url.as_str() => {
                let documents = registry_url.unwrap_or(&urls.registry_url);
                let mut origin = Origin::parse(&urls.replicate_url, Some(documents))?;
                text.clone_into(&mut origin.name);
                return Ok(origin);
            }
            None if text != npm.name => {
                let names: Vec<&str> = info.origins.keys().map(String::as_str).collect();
                return Err(Error::input(format!("the lake holds no origin {text:?}"))
                    .hint(format!("it holds {}; give a new one as {text}=URL", names.join(", "))));
            }
            _ => {}
        }
    }
    Origin::parse(text, registry_url)
}

/// Splits `NAME=URL` into its parts.
pub(super) fn given_name(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| Layout::is_origin_name(name))
}

async fn start_sample(packages: usize, printer: &Printer) -> Result<SampleServer> {
    let start = move || SampleServer::start(World::seeded(SAMPLE_SEED, packages), Options::default());
    let server = tokio::task::spawn_blocking(start)
        .await
        .or_error(ErrorKind::Internal, || "the task that makes the sample registry failed".to_owned())?
        .or_error(ErrorKind::Input, || "cannot start the sample registry on loopback".to_owned())?;
    printer.note(&format!("the sample registry: {} packages at {}", log::count(packages as u64), server.url()));
    Ok(server)
}

fn config(args: &RegistryArgs, settings: &Settings, origin: &Origin) -> Result<RegistryConfig> {
    let mut config = RegistryConfig::for_origin(origin);
    for limits in [&mut config.replicate, &mut config.registry, &mut config.downloads] {
        if let Some(concurrency) = settings.concurrency(args.concurrency) {
            limits.max_concurrency = concurrency;
        }
        if let Some(rate) = settings.rate(args.rate) {
            limits.max_requests_per_second = Some(f64::from(rate));
        }
        if let Some(patience) = settings.patience(args.patience)? {
            limits.patience = patience;
        }
    }
    if let Some(bytes) = args.max_document_bytes {
        config.max_document_bytes = bytes.get();
    }
    if let Some(requests) = args.monthly_budget {
        config.monthly_budget = Some(requests.get());
    }
    Ok(config)
}

/// Returns the folder in which this process finds others that send requests to the same hosts. It is in the folder for
/// temporary files, because a session and a timed job share that one, and not `XDG_RUNTIME_DIR`.
#[cfg(unix)]
fn runtime_folder(printer: &Printer) -> Option<PathBuf> {
    let parent = std::env::var_os("ALL_DOCS_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = crate::registry::runtime_folder(&parent);
    if let Err(error) = &folder {
        printer.warn(&format!(
            "the request limits apply to this process only, not to all processes on this machine together: {error}"
        ));
    }
    folder.ok()
}

/// Returns `None`: processes find each other by Unix sockets only.
#[cfg(not(unix))]
fn runtime_folder(_printer: &Printer) -> Option<PathBuf> {
    None
}
