//! The lake metadata: checks whether it is credible, and restores it from the folders of the lake.
//!
//! The folders show which origins there are. Nothing else records their addresses, so these are taken from the remains
//! of the lake metadata or from the user who requests the repair, and not guessed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::others::Others;
use super::partition_set::is_origin;
use super::proof::{Fault, Finding, lake_finding};
use super::requests;
use super::root_file::RootFile;
use crate::error::Result;
use crate::lake::{LakeInfo, Layout, OriginInfo, Record};
use crate::pipeline::open::{no_lake, refuse_newer_origin, refuse_newer_record};
use crate::registry::{Origin, host_of};
use crate::store::{EntryKind, Store};

/// The built-in origin. Its port changes each time, so this stands for its addresses.
const SAMPLE: &str = "sample";

/// The lake metadata as found, and the folders that it should describe.
pub(super) struct LakeMetadata {
    file: RootFile,
    /// The origins that it names, as far as they are credible.
    origins: BTreeMap<String, OriginInfo>,
    default_origin: Option<String>,
    /// Origins that have a folder and are not among those, with their addresses if known.
    missing: BTreeMap<String, Option<OriginInfo>>,
    /// The folders of the root.
    folders: BTreeSet<String>,
    problems: Vec<String>,
    /// Other paths in the root.
    pub(super) notes: Vec<String>,
}

impl LakeMetadata {
    /// Reads it. Fails with [`crate::error::ErrorKind::Lake`] if there is neither lake metadata nor an origin, and for a lake of a
    /// newer version.
    pub(super) async fn read(store: &Store) -> Result<LakeMetadata> {
        LakeMetadata::read_among(store, list_root(store).await?).await
    }

    /// Reads it, in a lake that has these paths, as [`list_root`] returns them.
    pub(super) async fn read_among(store: &Store, mut paths: Vec<String>) -> Result<LakeMetadata> {
        // The folders are listed first: a process that enters an origin writes the lake metadata before the folder.
        paths.retain(|path| !Store::is_put_begun(path));
        let file = RootFile::read(store, Layout::INFO).await?;
        let mut problems = Vec::new();
        let mut said = Value::Null;
        if let Some(text) = &file.text {
            refuse_newer_record(store, Layout::INFO, text)?;
            if let Err(error) = serde_json::from_slice::<LakeInfo>(text) {
                problems.push(format!("it is damaged: {error}"));
            }
            said = serde_json::from_slice(text).unwrap_or_default();
        }
        problems.extend(file.misfit.clone());
        let (mut origins, default_origin) = (origins_of(&said), default_origin_of(&said));
        let stale = origins.clone();
        origins.retain(|name, info| match problem_of(name, info) {
            Some(problem) => {
                problems.push(problem);
                false
            }
            None => true,
        });
        if let Some(name) = default_origin.as_ref().filter(|name| !origins.is_empty() && !origins.contains_key(*name)) {
            problems.push(format!("its default origin, {name:?}, is not one of its origins"));
        }
        let tops = paths.iter().filter_map(|path| path.split_once('/'));
        let folders: BTreeSet<String> = tops.map(|(top, _)| top.to_owned()).collect();
        let mut missing = BTreeMap::new();
        for name in folders.iter().filter(|name| Layout::is_origin_name(name) && !origins.contains_key(*name)) {
            if is_origin(store, &Layout::origin(name)).await {
                let left = stale.iter().filter(|(name, _)| !folders.contains(*name)).map(|(_, info)| info);
                let addresses = match left.into_iter().find(|info| folder_of(info).as_ref() == Some(name)) {
                    Some(info) => Some(info.clone()),
                    None => addresses_of(store, name).await?,
                };
                missing.insert(name.clone(), addresses);
            }
        }
        if file.is_absent() {
            if missing.is_empty() {
                return Err(no_lake(&store.location()));
            }
            problems.push("it is gone, but the lake holds origins".to_owned());
        }
        problems.extend(missing.iter().map(|(name, addresses)| problem_of_missing(name, addresses.is_some())));
        let mut page = LakeMetadata { file, origins, default_origin, missing, folders, problems, notes: Vec::new() };
        page.notes = page.notes_on(&paths);
        for name in page.names() {
            refuse_newer_origin(store, &Layout::origin(name)).await?;
        }
        Ok(page)
    }

    /// Returns every origin that the lake metadata or a folder shows, in the order of their names.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.origins.keys().chain(self.missing.keys()).map(String::as_str).collect()
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let finding = |problem: &String| lake_finding(Layout::INFO, Fault::Record, problem.clone());
        self.problems.iter().map(finding).collect()
    }

    /// Restores the lake metadata if something is wrong with it; `given` holds the addresses of an origin as the user
    /// states them. Returns the origins that it then holds, and the changes in words. An origin without known addresses
    /// is left out.
    pub(super) async fn mend(
        mut self,
        store: &Store,
        given: Option<(&str, &OriginInfo)>,
    ) -> Result<(BTreeMap<String, OriginInfo>, Vec<String>)> {
        let mut notes = Vec::new();
        if self.problems.is_empty() {
            return Ok((self.origins, notes));
        }
        let is_all_unknown = self.origins.is_empty() && !self.missing.is_empty();
        for (name, addresses) in std::mem::take(&mut self.missing) {
            let given = given.filter(|(given, _)| *given == name).map(|(_, info)| info.clone());
            let Some(info) = given.or(addresses) else { continue };
            // Removes the remains of an entry whose name was damaged.
            self.origins.retain(|other, kept| self.folders.contains(other) || *kept != info);
            notes.push(format!("{}: enters the origin {name}, from {}", Layout::INFO, info.replicate_url));
            self.origins.insert(name, info);
        }
        if is_all_unknown && self.origins.is_empty() {
            return Ok((self.origins, notes));
        }
        let default_origin = match self.default_origin.take() {
            Some(name) if self.origins.contains_key(&name) => name,
            // Without any origin, the next one that is ingested becomes the default.
            _ => {
                let first = self
                    .origins
                    .keys()
                    .next()
                    .map_or_else(|| Origin::npm().map(|npm| npm.name), |name| Ok(name.clone()))?;
                if self.origins.len() > 1 {
                    notes.push(format!("{}: SQL finds the tables of {first} also without its name", Layout::INFO));
                }
                first
            }
        };
        let info = LakeInfo { origins: self.origins.clone(), ..LakeInfo::new(&default_origin) };
        self.file.replace(store, info.to_json()?).await?;
        Ok((self.origins, notes))
    }

    /// Mentions the paths that are not the lake's.
    fn notes_on(&self, paths: &[String]) -> Vec<String> {
        let names = self.names();
        let known = [Layout::INFO, Layout::REQUESTS, Layout::QUERIES, Layout::SET_ASIDE];
        let mut others = Others::default();
        for path in paths {
            let top = path.split('/').next().unwrap_or_default();
            if !known.contains(&top) && !names.contains(top) {
                others.add(path, path);
            }
        }
        others.into_notes()
    }
}

/// Returns every path of the lake. The path of a folder that is a link ends in `/`.
pub(super) async fn list_root(store: &Store) -> Result<Vec<String>> {
    let mut paths = store.list("").await?;
    if store.is_far() {
        // There are no links.
        return Ok(paths);
    }
    for path in paths.iter_mut().filter(|path| !path.contains('/')) {
        if store.entry(path).await? == Some(EntryKind::Folder) {
            path.push('/');
        }
    }
    Ok(paths)
}

/// Parses the origins that the lake metadata names, each on its own: a damaged one does not hide the others.
fn origins_of(said: &Value) -> BTreeMap<String, OriginInfo> {
    let entries = said.get("origins").and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, entry)| Some((name.clone(), serde_json::from_value(entry.clone()).ok()?))).collect()
}

fn default_origin_of(said: &Value) -> Option<String> {
    said.get("default_origin").and_then(Value::as_str).map(str::to_owned)
}

/// Returns why an entry cannot be true.
fn problem_of(name: &str, info: &OriginInfo) -> Option<String> {
    if !Layout::is_origin_name(name) {
        return Some(format!("it holds an origin {name:?}, which is not a valid name"));
    }
    let is_sample = info.replicate_url == SAMPLE && info.registry_url == SAMPLE;
    match Origin::parse(&info.replicate_url, Some(&info.registry_url)) {
        Err(error) if !is_sample => Some(format!("its origin {name} has invalid addresses: {}", error.message())),
        _ => None,
    }
}

fn problem_of_missing(name: &str, is_known: bool) -> String {
    let unknown = match is_known {
        true => String::new(),
        false => format!(
            ", and its addresses are unknown; --repair enters it if they are given: --origin URL, or --origin {name}=URL"
        ),
    };
    format!("it does not hold the origin {name}, which has a folder{unknown}")
}

/// Returns the folder that an origin with these addresses gets by default.
fn folder_of(info: &OriginInfo) -> Option<String> {
    Origin::parse(&info.replicate_url, Some(&info.registry_url)).ok().map(|origin| origin.name)
}

/// Returns the addresses that an origin's name implies: those of the built-in origin, and npm's if both of its hosts
/// were sent requests. A user may call another registry npm.
async fn addresses_of(store: &Store, name: &str) -> Result<Option<OriginInfo>> {
    if name == SAMPLE {
        return Ok(Some(OriginInfo { replicate_url: SAMPLE.to_owned(), registry_url: SAMPLE.to_owned() }));
    }
    let npm = Origin::npm()?;
    if name != npm.name {
        return Ok(None);
    }
    let asked = requests::hosts(store).await?;
    let is_asked = |url: &url::Url| asked.contains(&host_of(url));
    let is_npm = is_asked(&npm.replicate_url) && is_asked(&npm.registry_url);
    Ok(is_npm.then(|| OriginInfo { replicate_url: npm.replicate_url.into(), registry_url: npm.registry_url.into() }))
}
