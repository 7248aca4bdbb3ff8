//! One page of `_changes`: a row for each package, at the number of its last change.
//!
//! Not here: HTTP, and continuous feeds, which npm no longer has.

use super::json::push_quoted;
use super::query::{self, Refused};
use super::world::World;

/// The rough size of a row, to build a page without growing the buffer.
const ROW_BYTES: usize = 120;

/// Returns the body of the response to `query`. A page that is cut by its limit ends at its last row's number. A page
/// that is not ends at the registry's newest number, which may be ahead of every row.
pub(super) fn page(world: &World, query: &str) -> Result<String, Refused> {
    let (mut since, mut limit, mut descending) = (0, None, false);
    for (name, value) in query::parameters(query)? {
        match name.as_str() {
            "since" => since = query::number(&value)?,
            "limit" => limit = Some(value),
            "descending" => descending = query::boolean(&value)?,
            // `doc_ids` and `last-event-id` too: npm's guide lists them, but nobody has seen their effect there. Code
            // built on a guess of ours would break on npm.
            _ => return Err(Refused),
        }
    }
    // CouchDB returns one row for a limit of 0.
    let limit = query::limit(limit.as_deref())?.max(1);
    let rows = world.changes_after(since);
    let rows: Vec<_> = if descending { rows.rev().take(limit).collect() } else { rows.take(limit).collect() };
    let mut body = String::with_capacity(rows.len() * ROW_BYTES + 64);
    body.push_str("{\"results\":[");
    for (index, (seq, name)) in rows.iter().enumerate() {
        body.push_str(if index == 0 { "\n" } else { ",\n" });
        body.push_str(&format!("{{\"seq\":{seq},\"id\":"));
        push_quoted(&mut body, name);
        body.push_str(",\"changes\":[{\"rev\":");
        let departed = world.departed.get(&**name);
        match departed {
            Some(departed) => push_quoted(&mut body, &departed.revision),
            None => push_quoted(&mut body, &world.find(name).map(|package| package.revision()).unwrap_or_default()),
        }
        body.push_str(if departed.is_some() { "}],\"deleted\":true}" } else { "}]}" });
    }
    let last = rows.last().map(|(seq, _)| *seq);
    let last_seq = match last {
        Some(last) if rows.len() == limit || descending => last,
        _ => world.update_seq.max(since),
    };
    body.push_str(&format!("\n],\n\"last_seq\":{last_seq}}}\n"));
    Ok(body)
}
