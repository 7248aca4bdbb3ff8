//! Copies the views and reports that belong to a lake.

use crate::error::{Doing, Result};
use crate::lake::Layout;
use crate::store::Store;

/// Copies the `.sql` files in the lake's folder of queries that are other in the copy, or not there. Others in the copy
/// stay. Returns how many there are; a dry run writes none.
pub(super) async fn copy_queries(from: &Store, to: &Store, dry_run: bool) -> Result<u64> {
    let mut copied = 0;
    for path in from.list(Layout::QUERIES).await? {
        // Folder and file, as the readers of queries expect them: a name in a bucket may be anything.
        let below = path.strip_prefix(Layout::QUERIES).unwrap_or_default().trim_start_matches('/');
        let is_query = matches!(below.split_once('/'), Some((folder, file))
            if !folder.starts_with('.') && file.ends_with(".sql") && !file.contains('/'));
        if !is_query || Store::is_put_begun(&path) {
            continue;
        }
        let Some(text) = from.get(&path).await? else { continue };
        if to.get(&path).await?.as_ref() == Some(&text) {
            continue;
        }
        copied += 1;
        if !dry_run {
            to.put(&path, text).await.doing(|| format!("copying {path}"))?;
        }
    }
    Ok(copied)
}
