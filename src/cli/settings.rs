//! Settings, in order of precedence: flag, environment, `all-docs.toml`, default.
//!
//! clap reads flags and environment. This module reads the settings file and decides which value applies.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use super::registry_args::patience;
use super::store_args::StoreArgs;
use crate::error::{Doing, Error, Result};
use crate::store::Store;
use crate::text;

/// The name of the settings file in the current folder.
const SETTINGS_FILE: &str = "all-docs.toml";
/// The default location of the lake.
const DEFAULT_LAKE: &str = "lake";
/// The longest settings file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// `all-docs.toml`: each member has the meaning of the flag of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SettingsFile {
    lake: Option<String>,
    endpoint: Option<String>,
    #[serde(default)]
    lake_option: Vec<String>,
    scratch: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    origin: Option<String>,
    registry: Option<String>,
    downloads: Option<String>,
    pivots: Option<String>,
    concurrency: Option<u32>,
    rate: Option<u32>,
    partition_rows: Option<NonZeroU64>,
    cafile: Option<PathBuf>,
    proxy: Option<String>,
    #[serde(default)]
    header: Vec<String>,
    user_agent_contact: Option<String>,
    patience: Option<String>,
}

/// The common flags and the settings file; and the stores that were opened by them.
#[derive(Debug, Default)]
pub(super) struct Settings {
    lake: Option<String>,
    store: StoreArgs,
    file: SettingsFile,
    opened: Mutex<Vec<Store>>,
}

impl Settings {
    /// Reads the settings file `config`, else `all-docs.toml` if it exists. `lake` is the flag of that name, and `store`
    /// has the flags for buckets.
    pub(super) fn load(config: Option<&Path>, lake: Option<String>, store: StoreArgs) -> Result<Settings> {
        let (path, is_asked_for) = match config {
            Some(path) => (path, true),
            None => (Path::new(SETTINGS_FILE), false),
        };
        // A pipe of this name would be waited for without end.
        let is_other = path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
        if is_other && !is_asked_for {
            return Err(Error::input(format!("{} is no file", path.display()))
                .hint("remove it, or name a settings file with --config"));
        }
        let file = match is_asked_for || path.try_exists().unwrap_or(true) {
            true => parse(&text::read(path, "settings file", MOST_BYTES)?, path)?,
            false => SettingsFile::default(),
        };
        let weaker = StoreArgs {
            endpoint: file.endpoint.clone(),
            lake_option: file.lake_option.clone(),
            scratch: file.scratch.clone(),
            cache_dir: file.cache_dir.clone(),
        };
        Ok(Settings { lake, store: store.or(&weaker), file, opened: Mutex::default() })
    }

    /// Returns the location of the lake.
    pub(super) fn lake(&self) -> &str {
        let is_given = |lake: &&str| !lake.is_empty();
        self.lake.as_deref().filter(is_given).or(self.file.lake.as_deref()).unwrap_or(DEFAULT_LAKE)
    }

    /// Opens the store of the lake.
    pub(super) fn open_lake(&self) -> Result<Store> {
        self.open_store(self.lake())
    }

    /// Opens the store of the lake for a command that writes: a bucket that cannot be reached is an error before
    /// anything else is done.
    pub(super) async fn open_lake_to_write(&self) -> Result<Store> {
        let store = self.open_lake()?;
        store.check().await.doing(|| format!("reaching {}", store.location()))?;
        Ok(store)
    }

    /// Opens the store of any location.
    pub(super) fn open_store(&self, location: &str) -> Result<Store> {
        self.open_store_by(location, &StoreArgs::default())
    }

    /// Opens the store of any location. Arguments in `own` replace the common ones.
    pub(super) fn open_store_by(&self, location: &str, own: &StoreArgs) -> Result<Store> {
        let store = Store::open_with(location, &own.or(&self.store).options()?)?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(store.clone());
        Ok(store)
    }

    /// Returns the stores that were opened so far.
    pub(super) fn opened(&self) -> Vec<Store> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the origin: `npm` if none is given.
    pub(super) fn origin<'a>(&'a self, flag: Option<&'a str>) -> &'a str {
        self.given_origin(flag).unwrap_or("npm")
    }

    /// Returns the given origin, if there is one.
    pub(super) fn given_origin<'a>(&'a self, flag: Option<&'a str>) -> Option<&'a str> {
        flag.or(self.file.origin.as_deref())
    }

    /// Returns the URL that packuments are fetched from instead of the origin's own.
    pub(super) fn registry<'a>(&'a self, flag: Option<&'a str>) -> Option<&'a str> {
        flag.or(self.file.registry.as_deref())
    }

    /// Returns the URL that download counts are taken from instead of the origin's own.
    #[cfg(feature = "array")]
    pub(super) fn downloads<'a>(&'a self, flag: Option<&'a str>) -> Option<&'a str> {
        flag.or(self.file.downloads.as_deref())
    }

    /// Returns the pivots file.
    pub(super) fn pivots<'a>(&'a self, flag: Option<&'a Path>) -> Option<&'a Path> {
        flag.or(self.file.pivots.as_deref().map(Path::new))
    }

    /// Returns the limit of concurrent requests per host.
    pub(super) fn concurrency(&self, flag: Option<u32>) -> Option<u32> {
        flag.or(self.file.concurrency)
    }

    /// Returns the limit of requests per second and host.
    pub(super) fn rate(&self, flag: Option<u32>) -> Option<u32> {
        flag.or(self.file.rate)
    }

    /// Returns the file of certificates to trust.
    pub(super) fn cafile<'a>(&'a self, flag: Option<&'a Path>) -> Option<&'a Path> {
        flag.or(self.file.cafile.as_deref())
    }

    /// Returns the proxy for all hosts.
    pub(super) fn proxy<'a>(&'a self, flag: Option<&'a str>) -> Option<&'a str> {
        flag.or(self.file.proxy.as_deref())
    }

    /// Returns the headers for the origin's hosts.
    pub(super) fn header<'a>(&'a self, flag: &'a [String]) -> &'a [String] {
        if flag.is_empty() { &self.file.header } else { flag }
    }

    /// Returns the contact in the user agent.
    pub(super) fn user_agent_contact<'a>(&'a self, flag: Option<&'a str>) -> Option<&'a str> {
        flag.or(self.file.user_agent_contact.as_deref())
    }

    /// Returns how long refusals are waited out.
    ///
    /// Fails, of kind Input, for a text in the settings file that is no duration.
    pub(super) fn patience(&self, flag: Option<Duration>) -> Result<Option<Duration>> {
        let of_file = || self.file.patience.as_deref().map(patience).transpose();
        match flag {
            Some(flag) => Ok(Some(flag)),
            None => of_file().map_err(|why| Error::input(format!("patience of the settings file: {why}"))),
        }
    }

    /// Returns the number of rows per partition.
    pub(super) fn partition_rows(&self, flag: Option<NonZeroU64>) -> Option<NonZeroU64> {
        flag.or(self.file.partition_rows)
    }
}

fn parse(text: &str, path: &Path) -> Result<SettingsFile> {
    toml::from_str(text).map_err(|error| {
        // The error itself quotes the line, which may hold the password of a proxy or a header.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let (line, why) = (before.matches('\n').count() + 1, without_values(error.message()));
        Error::input(format!("the settings file {} is not understood: line {line}: {why}", path.display()))
    })
}

/// Returns a message without the texts in quotes, which are values.
fn without_values(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => format!("{}\"…\"{}", &message[..first], &message[last + 1..]),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file =
            parse("lake = \"from-file\"\nrate = 5\npatience = \"5m\"\nheader = [\"a: b\"]\n", Path::new("x.toml"))
                .unwrap();
        let settings = Settings { file: file.clone(), ..Settings::default() };
        assert_eq!((settings.lake(), settings.rate(Some(7)), settings.rate(None)), ("from-file", Some(7), Some(5)));
        assert_eq!(settings.patience(None).unwrap(), Some(Duration::from_secs(300)));
        assert_eq!(
            (settings.header(&[]).len(), settings.header(&["c: d".to_owned(), "e: f".to_owned()]).len()),
            (1, 2)
        );
        let of = |lake: &str| Settings { lake: Some(lake.to_owned()), file: file.clone(), ..Settings::default() };
        assert_eq!((of("flag").lake(), of("").lake(), Settings::default().lake()), ("flag", "from-file", DEFAULT_LAKE));
    }

    #[test]
    fn a_setting_that_is_not_understood_is_not_shown() {
        for (text, line, words) in [
            ("rate = 1\n[header]\nX-Key = \"sesame\"\n", 2, "sequence"),
            ("header = \"X-Key: sesame\"\n", 1, "sequence"),
            ("\nproxy = { url = \"http://u:sesame@x\" }", 2, "string"),
            ("rate = \"ses\\\"ame\"", 1, "u32"),
            ("partition-rows = 0", 1, "nonzero"),
            ("proxy = \"http://u:sesame@x", 1, ""),
            ("header = [\"a: sesame\", 3]", 1, "string"),
        ] {
            let error = parse(text, Path::new("x.toml")).unwrap_err();
            let report = error.report();
            assert!(!report.contains("ame"), "{report}");
            assert!(report.contains(&format!("line {line}")) && report.contains(words), "{report}");
        }
    }

    #[test]
    fn a_misspelt_setting_is_named() {
        let error = parse("lakes = \"x\"", Path::new("x.toml")).unwrap_err();
        assert!(error.report().contains("lakes"), "{}", error.report());
        assert_eq!(error.kind(), ErrorKind::Input);
    }
}
