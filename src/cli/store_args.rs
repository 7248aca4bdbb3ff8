//! The arguments that say how lakes in buckets are reached, and the variables that do. Not here: their meaning (`store`),
//! and which lake is opened (`settings`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::store::StoreOptions;

/// The beginnings of the names of variables that concern buckets.
const PREFIXES: [&str; 5] = ["AWS_", "CLOUDFLARE_", "CLOUDSDK_", "GOOGLE_", "R2_"];
/// A variable of Google Cloud Storage whose name has none of these beginnings.
const SERVICE_ACCOUNT: &str = "SERVICE_ACCOUNT";
/// The name of no folder: nothing is cached.
const NO_CACHE: &str = "none";

/// How lakes in buckets are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(super) struct StoreArgs {
    /// The server of a lake in a bucket, if it is not the provider's own: an http:// or https:// address without the
    /// bucket. AWS_ENDPOINT_URL is also read [default: the provider's server]
    #[arg(long, global = true, value_name = "URL", env = "ALL_DOCS_ENDPOINT", help_heading = "Buckets")]
    pub(super) endpoint: Option<String>,
    /// An option of the client of a bucket, as in timeout=60s; repeatable. It wins over a variable. docs/buckets.md lists
    /// the usual ones. It is never printed. ALL_DOCS_LAKE_OPTION holds one a line
    #[arg(
        long,
        global = true,
        value_name = "KEY=VALUE",
        env = "ALL_DOCS_LAKE_OPTION",
        hide_env_values = true,
        value_delimiter = '\n',
        help_heading = "Buckets"
    )]
    pub(super) lake_option: Vec<String>,
    /// The folder for shards that are built before they are put into a bucket, on a local disk with some GB of space
    /// [default: a temporary folder]
    #[arg(long, global = true, value_name = "DIR", env = "ALL_DOCS_SCRATCH", help_heading = "Buckets")]
    pub(super) scratch: Option<PathBuf>,
    /// The folder that keeps footers and small records of lakes in buckets, so that a later command need not request them
    /// again: at most about 1 GB, and safe to delete at any time; none keeps nothing [default: all-docs in the user's cache
    /// folder]
    #[arg(long, global = true, value_name = "DIR", env = "ALL_DOCS_CACHE_DIR", help_heading = "Buckets")]
    pub(super) cache_dir: Option<PathBuf>,
}

impl StoreArgs {
    /// Returns these arguments, and those of `weaker` where they are not given. An empty text is not given.
    pub(super) fn or(&self, weaker: &StoreArgs) -> StoreArgs {
        let text = |args: &StoreArgs| args.endpoint.clone().filter(|text| !text.trim().is_empty());
        let is_named = |folder: &PathBuf| !folder.as_os_str().is_empty();
        let folder = |args: &StoreArgs| args.scratch.clone().filter(is_named);
        let cache_dir = |args: &StoreArgs| args.cache_dir.clone().filter(is_named);
        let is_given = self.lake_option.iter().any(|option| !option.trim().is_empty());
        StoreArgs {
            endpoint: text(self).or_else(|| text(weaker)),
            lake_option: if is_given { &self.lake_option } else { &weaker.lake_option }.clone(),
            scratch: folder(self).or_else(|| folder(weaker)),
            cache_dir: cache_dir(self).or_else(|| cache_dir(weaker)),
        }
    }

    /// Returns the options of a store, with the variables of this process.
    ///
    /// Fails, of kind Input, for an option that is not `KEY=VALUE`.
    pub(super) fn options(&self) -> Result<StoreOptions> {
        let environment = std::env::vars_os().filter_map(|(name, text)| {
            let name = name.into_string().ok()?;
            let is_concerned = name == SERVICE_ACCOUNT || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            is_concerned.then_some(())?;
            Some((name, text.into_string().ok()?))
        });
        Ok(StoreOptions {
            scratch: self.scratch.clone(),
            cache: match &self.cache_dir {
                Some(folder) if folder.as_os_str() == NO_CACHE => None,
                Some(folder) => Some(folder.clone()),
                None => usual_cache(),
            },
            endpoint: self.endpoint.clone(),
            options: parse(&self.lake_option)?,
            environment: environment.collect(),
            home: std::env::home_dir(),
        })
    }
}

/// Returns the cache's folder in the user's folder of caches, where the system puts that; `None` for a user without one.
fn usual_cache() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let home = |below: &str| Some(std::env::home_dir()?.join(below));
    let caches = match std::env::consts::OS {
        "macos" => home("Library/Caches"),
        "windows" => variable("LOCALAPPDATA"),
        _ => variable("XDG_CACHE_HOME").filter(|folder| folder.is_absolute()).or_else(|| home(".cache")),
    };
    caches.filter(|folder| folder.is_absolute()).map(|folder| folder.join("all-docs"))
}

fn parse(options: &[String]) -> Result<BTreeMap<String, String>> {
    let options = options.iter().map(|option| option.trim()).filter(|option| !option.is_empty());
    options
        .map(|option| match option.split_once('=') {
            Some((key, text)) if !key.trim().is_empty() => {
                Ok((key.trim().to_ascii_lowercase(), text.trim().to_owned()))
            }
            // The text may be a secret, so it is not repeated.
            _ => Err(Error::input("an option of --lake-option is not KEY=VALUE")
                .hint("as in: --lake-option timeout=60s --lake-option aws_region=eu-central-1")),
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn options_are_pairs_and_others_are_not_repeated() {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let parsed = parse(&texts(&["Timeout = 60s", "", " key=a=b "])).unwrap();
        let right = [("key", "a=b"), ("timeout", "60s")].map(|(key, text)| (key.to_owned(), text.to_owned()));
        assert_eq!(parsed, BTreeMap::from(right));
        for wrong in ["hush", "=hush"] {
            let error = parse(&texts(&[wrong])).unwrap_err();
            assert!(!error.report().contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn an_argument_wins_over_the_file_unless_it_is_empty() {
        let of = |endpoint: &str, option: &str, folder: &str| StoreArgs {
            endpoint: Some(endpoint.to_owned()),
            lake_option: vec![option.to_owned()],
            scratch: Some(PathBuf::from(folder)),
            cache_dir: Some(PathBuf::from(folder)),
        };
        let file = of("http://file", "a=1", "/file");
        assert_eq!(of("http://flag", "b=2", "/flag").or(&file), of("http://flag", "b=2", "/flag"));
        assert_eq!(of("", " ", "").or(&file), file);
        assert_eq!(StoreArgs::default().or(&file), file);
    }

    #[test]
    fn a_cache_is_in_the_named_folder_or_the_users_or_nowhere() {
        let of = |folder: &str| StoreArgs { cache_dir: Some(PathBuf::from(folder)), ..StoreArgs::default() };
        assert_eq!(of("/x/cache").options().unwrap().cache, Some(PathBuf::from("/x/cache")));
        assert_eq!(of("none").options().unwrap().cache, None);
        let usual = of("").or(&StoreArgs::default()).options().unwrap().cache;
        assert!(usual.is_none_or(|folder| folder.is_absolute() && folder.ends_with("all-docs")));
    }
}
