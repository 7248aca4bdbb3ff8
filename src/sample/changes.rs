//! One page of `_changes`: a row for each package, at the number of its last change.
//!
//! Not here: HTTP, and continuous feeds, which npm no longer has.

use super::feed_faults::FeedPlay;
use super::json::push_quoted;
use super::query::{self, Refused};
use super::world::World;

/// The rough size of a row, to build a page without growing the buffer.
const ROW_BYTES: usize = 120;
/// The revision of a deletion that is repeated.
const ANCIENT: &str = "1-00000000000000000000000000000000";

/// Returns the body of the response to `query`. A page that is cut by its limit ends at its last row's number. A page
/// that is not ends at the registry's newest number, which may be ahead of every row.
pub(super) fn page(world: &World, query: &str, play: &mut FeedPlay) -> Result<String, Refused> {
    let (mut since, mut limit, mut descending) = (0, None, false);
    for (name, value) in query::parameters(query)? {
        match name.as_str() {
            "since" => since = play.parse(&value).ok_or(Refused)?,
            "limit" => limit = Some(value),
            "descending" => descending = query::boolean(&value)?,
            // `doc_ids` and `last-event-id` too: npm's guide lists them, but nobody has seen their effect there. Code
            // built on a guess of ours would break on npm.
            _ => return Err(Refused),
        }
    }
    // CouchDB returns one row for a limit of 0.
    let most = play.faults.page_rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(usize::MAX);
    let limit = query::limit(limit.as_deref())?.min(most).max(1);
    let head = play.update_seq(world);
    play.begin_page();
    let is_deleted = |name: &str| world.departed.contains_key(name);
    let rows: Vec<_> =
        world.changes_after(since).filter(|(seq, name)| *seq <= head && play.shows(*seq, is_deleted(name))).collect();
    let all = rows.len();
    let rows: Vec<_> =
        if descending { rows.into_iter().rev().take(limit).collect() } else { rows.into_iter().take(limit).collect() };
    let last = rows.last().map(|(seq, _)| *seq);
    let (last_seq, is_end) = match last {
        Some(last) if rows.len() == limit || descending => (last, false),
        _ => (head.max(since), true),
    };
    let mut written = Vec::with_capacity(rows.len());
    if play.faults.design_rows {
        let seq = play.told(since + 1);
        written.push(format!("{{\"seq\":{seq},\"id\":\"_design/app\",\"changes\":[{{\"rev\":\"1-a\"}}]}}"));
        written.push(format!("{{\"seq\":{seq},\"changes\":[]}}"));
    }
    for (seq, name) in &rows {
        let departed = world.departed.get(&***name);
        let revision = match departed {
            Some(departed) => departed.revision.as_str().into(),
            None => world.find(name).map(|package| package.revision()).unwrap_or_default(),
        };
        written.push(row(&play.told(*seq), name, &revision, departed.is_some()));
    }
    for name in play.faults.repeats_deletions.iter().filter(|_| is_end) {
        written.push(row(&play.told(last_seq), name, ANCIENT, true));
    }
    let pending = match play.faults.pending {
        true => format!(",\"pending\":{}", all - rows.len()),
        false => String::new(),
    };
    let last_seq = play.told(last_seq);
    Ok(match written.as_slice() {
        [] => format!("{{\"results\":[\n],\n\"last_seq\":{last_seq}{pending}}}\n"),
        written => format!("{{\"results\":[\n{}\n],\n\"last_seq\":{last_seq}{pending}}}\n", written.join(",\n")),
    })
}

fn row(seq: &str, name: &str, revision: &str, is_deleted: bool) -> String {
    let mut row = String::with_capacity(ROW_BYTES);
    row.push_str("{\"seq\":");
    row.push_str(seq);
    row.push_str(",\"id\":");
    push_quoted(&mut row, name);
    row.push_str(",\"changes\":[{\"rev\":");
    push_quoted(&mut row, revision);
    row.push_str(if is_deleted { "}],\"deleted\":true}" } else { "}]}" });
    row
}
