//! Loads the user's own views and reports: `.sql` files in a folder, and in the lake's folder `queries`.

use std::path::Path;

use super::MOST_SQL_BYTES;
use super::args::OwnQueriesArgs;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::lake::Layout;
use crate::query::{NamedQueries, NamedQuery, QueryKind};
use crate::store::Store;
use crate::text;

/// Loads the built-in queries and the user's own.
///
/// Fails with [`ErrorKind::Input`] for a folder that cannot be read and a file that breaks the rules.
pub(super) async fn load(args: &OwnQueriesArgs, lake: Option<&Store>) -> Result<NamedQueries> {
    let mut own = Vec::new();
    if let Some(store) = lake {
        let mut listed = store.list_sized(Layout::QUERIES).await?;
        listed.retain(|listed| listed.path.strip_prefix(Layout::QUERIES).and_then(kind_and_name).is_some());
        for (path, bytes) in store.get_all_listed(listed).await? {
            let Some((kind, name)) = path.strip_prefix(Layout::QUERIES).and_then(kind_and_name) else { continue };
            let sql = text::decode(&bytes, &format!("{path}, in the lake,"))?;
            own.push(NamedQuery::parse(name, kind, &sql).doing(|| format!("reading {path} in the lake"))?);
        }
    }
    if let Some(folder) = &args.queries {
        if !folder.is_dir() {
            return Err(Error::input(format!("{} is not a folder", folder.display()))
                .hint("--queries names a folder with views/*.sql and reports/*.sql"));
        }
        for kind in [QueryKind::View, QueryKind::Report] {
            own.extend(of_folder(&folder.join(kind.folder()), kind)?);
        }
    }
    let mut queries = NamedQueries::default();
    queries.add(own)?;
    Ok(queries)
}

/// Splits a path below a folder of queries into kind and name: `/views/name.sql`.
fn kind_and_name(path: &str) -> Option<(QueryKind, &str)> {
    let (folder, file) = path.strip_prefix('/')?.split_once('/')?;
    let name = file.strip_suffix(".sql")?;
    let kind = [QueryKind::View, QueryKind::Report].into_iter().find(|kind| kind.folder() == folder)?;
    Some((kind, name))
}

/// Reads the queries of one folder, ordered by name; none if there is no such folder.
fn of_folder(folder: &Path, kind: QueryKind) -> Result<Vec<NamedQuery>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let unreadable = || format!("cannot read {}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).or_error(ErrorKind::Input, unreadable)? {
        let path = entry.or_error(ErrorKind::Input, unreadable)?.path();
        if path.extension().is_some_and(|suffix| suffix == "sql") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let doing = || format!("reading {}", path.display());
        let sql = text::read(path, kind.as_str(), MOST_SQL_BYTES)?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        NamedQuery::parse(&name, kind, &sql).doing(doing)
    };
    paths.iter().map(read).collect()
}
