//! `all-docs status`: prints the contents of a lake, also while another process writes it.

use super::exit::Code;
use super::log;
use super::printer::Printer;
use super::queue_args::QueueArgs;
use super::settings::Settings;
use crate::error::{Context, ErrorKind, Result};
use crate::lake::TableAge;
#[cfg(feature = "array")]
use crate::pipeline::{ArraysStatus, GroupStatus};
use crate::pipeline::{FollowStatus, OriginStatus, OverlayStatus, lake_status, no_lake};

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Print the status as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Show the queue of each origin too
    #[command(flatten)]
    pub(super) queue: QueueArgs,
}

/// An origin and its queue.
#[derive(serde::Serialize)]
struct WithQueue<'a> {
    #[serde(flatten)]
    origin: &'a OriginStatus,
    queue: serde_json::Value,
}

pub(super) async fn run(args: StatusArgs, settings: &Settings, printer: &Printer) -> Result<Code> {
    let store = settings.open_lake()?;
    let Some(origins) = lake_status(&store).await? else { return Err(no_lake(settings.lake())) };
    // A lake that lacks rows is no success for a script.
    let code = if origins.iter().all(|origin| origin.lost.is_empty()) { Code::Done } else { Code::Lake };
    let member = args.queue.join(settings.cafile(None)).await?;
    if args.json {
        let no_json = || "the status cannot be written as JSON".to_owned();
        let text = match &member {
            None => serde_json::to_string_pretty(&origins).or_error(ErrorKind::Internal, no_json)?,
            Some(member) => {
                let mut told = Vec::new();
                for origin in &origins {
                    let (queue, _) = member.status(&origin.origin).await?;
                    told.push(WithQueue { origin, queue });
                }
                serde_json::to_string_pretty(&told).or_error(ErrorKind::Internal, no_json)?
            }
        };
        printer.result(&format!("{text}\n"))?;
        return Ok(code);
    }
    let mut text = format!("lake {}\n", store.location());
    for origin in &origins {
        text.push_str(&describe(origin, jiff::Timestamp::now().as_second()));
        if let Some(member) = &member {
            text.push_str(&member.status(&origin.origin).await?.1);
        }
    }
    printer.result(&text)?;
    Ok(code)
}

fn describe_age(age: &TableAge) -> String {
    let parts = [(age.earlier, "with the columns of an earlier version"), (age.missing, "without this table")];
    let parts = parts.iter().filter(|(partitions, _)| *partitions > 0);
    let parts: Vec<String> = parts.map(|(partitions, how)| format!("{} {how}", log::count(*partitions))).collect();
    parts.join(", ")
}

#[cfg(feature = "array")]
fn describe_arrays(arrays: &ArraysStatus) -> Vec<String> {
    let count = log::count;
    let packages = arrays.packages.map_or("an unknown number of".to_owned(), count);
    let mut lines = vec![format!("  arrays of {packages} packages")];
    let of_group = |group: &GroupStatus| {
        let state = if group.is_being_written { ", being written (or a run died)" } else { "" };
        format!("{}, generation {}{state}", log::bytes(group.size_bytes), group.generation)
    };
    if let Some(downloads) = &arrays.downloads {
        lines.push(format!(
            "    downloads         up to {}, {} packages asked for, {} with counts, {:.1} % of all days known: {}",
            downloads.last_day,
            count(downloads.packages_asked),
            count(downloads.packages_counted),
            100.0 * downloads.known_share,
            of_group(&downloads.group)
        ));
    }
    let built = [
        ("releases        ", "versions", "packages", &arrays.releases),
        ("dependency graph", "edges", "nodes", &arrays.dependency_graph),
    ];
    let mut is_older = false;
    for (name, values, rows, built) in built {
        let Some(built) = built else { continue };
        is_older |= built.is_older_than_tables;
        let old = if built.is_older_than_tables { ", older than the tables" } else { "" };
        let (number, of) = (count(built.values), count(built.group.rows));
        lines.push(format!("    {name}  {number} {values} of {of} {rows}: {}{old}", of_group(&built.group)));
    }
    lines.extend(arrays.unreadable.iter().map(|why| format!("    {why}")));
    if is_older {
        lines.push("    all-docs arrays brings them up to date".to_owned());
    }
    lines
}

/// Describes the changes beside the tables.
fn describe_overlay(overlay: &OverlayStatus) -> Vec<String> {
    let count = log::count;
    let more = |changed: i64, what: &str| {
        let than = if changed < 0 { "fewer" } else { "more" };
        format!("{} {what} {than}", count(changed.unsigned_abs()))
    };
    let mut lines = vec![
        format!(
            "  overlay: {} changes in {} deltas, {}, the oldest of {} UTC; the tables above do not count them",
            count(overlay.names),
            count(overlay.deltas),
            log::bytes(overlay.size_bytes),
            to_the_second(&overlay.oldest_at)
        ),
        format!(
            "    with them there are {} and {}; all-docs fold takes them into the tables",
            more(overlay.names_changed, "names"),
            more(overlay.documents_changed, "documents")
        ),
    ];
    lines.extend(overlay.unreadable.iter().map(|why| format!("    its names cannot be counted: {why}")));
    lines
}

/// Describes how far the feed was followed.
fn describe_follow(follow: &FollowStatus) -> String {
    let count = log::count;
    if let Some(why) = &follow.unreadable {
        return format!("  follow        {why}");
    }
    let place = follow.place.as_deref().unwrap_or("?");
    let (Some(read_at), Some(lag_s)) = (&follow.read_at, follow.lag_seconds) else {
        return format!("  follow        nothing was read yet; all-docs follow begins after {place}");
    };
    let behind = match follow.lag_places {
        Some(places @ 1..) => format!(", {} places behind the registry", count(places)),
        _ => String::new(),
    };
    let lagging = match follow.lagging {
        0 => String::new(),
        names => format!("; the documents of {} names are waited for", count(names)),
    };
    format!(
        "  follow        read up to {place} at {} UTC, {} ago{behind}{lagging}",
        to_the_second(read_at),
        log::duration(std::time::Duration::from_secs(lag_s))
    )
}

/// Returns a time of RFC 3339 as it is printed.
fn to_the_second(time: &str) -> String {
    time.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ")
}

fn describe(origin: &OriginStatus, now_s: i64) -> String {
    let count = log::count;
    let mut lines = vec![format!("\norigin {} ({})", origin.origin, origin.registry_url)];
    match origin.partitions_total {
        None => lines.push("  the first scan has not ended".to_owned()),
        Some(total) => {
            lines.push(format!("  {} of {} partitions committed", count(origin.partitions_committed), count(total)));
        }
    }
    if let Some((oldest, newest)) = &origin.written {
        lines.push(format!("  written {} to {} UTC", to_the_second(oldest), to_the_second(newest)));
    }
    for run in &origin.runs {
        lines.push(format!(
            "  {} is running (process {} on {}, for {}): {}/{} partitions, {} rows listed, {} packuments, {}",
            run.purpose,
            run.process_id,
            run.host,
            log::duration(std::time::Duration::from_secs(now_s.saturating_sub(run.started_at_s).unsigned_abs())),
            count(run.counts.partitions_done),
            count(run.counts.partitions_total),
            count(run.counts.rows_scanned),
            count(run.counts.packuments_done),
            log::bytes(run.counts.document_bytes),
        ));
    }
    for run in &origin.dead_runs {
        lines.push(format!(
            "  {} died (process {} on {}); run the same command again to resume where it stopped",
            run.purpose, run.process_id, run.host
        ));
    }
    if origin.runs.is_empty() && origin.dead_runs.is_empty() && origin.partitions_staged > 0 {
        lines.push(format!("  partitions with files in staging: {}", count(origin.partitions_staged)));
    }
    let widest = origin.tables_in_order().map(|(_, table)| count(table.rows).len()).max().unwrap_or(0);
    for (name, table) in origin.tables_in_order() {
        lines.push(format!("  {name:<13} {:>widest$} rows  {:>9}", count(table.rows), log::bytes(table.size_bytes)));
    }
    lines.extend(origin.overlay.as_ref().map(describe_overlay).unwrap_or_default());
    if let Some(events) = &origin.events {
        let days = match (&events.first_day, &events.last_day) {
            (Some(first), Some(last)) => format!("{} days, {first} to {last}", count(events.days)),
            _ => "no day yet".to_owned(),
        };
        let feed = match events.commits_in_feed {
            0 => String::new(),
            commits => format!(", and {} commits in the event feed", count(commits)),
        };
        lines.push(format!("  events        {days}{feed}: {}", log::bytes(events.size_bytes)));
    }
    lines.extend(origin.follow.as_ref().map(describe_follow));
    if let Some(first) = origin.lost.first() {
        let more = match origin.lost.len() {
            1 => "is gone, but its manifest names it".to_owned(),
            lost => format!("and {} more are gone, but their manifests name them", count(lost as u64 - 1)),
        };
        lines.push(format!("  lost: {first} {more}"));
        lines.push(
            "    if its disk or mount is away, bring it back; all-docs verify --repair makes lost shards again"
                .to_owned(),
        );
    }
    if origin.old.partitions > 0 {
        let committed = count(origin.partitions_committed);
        lines.push(format!(
            "  old: an earlier version wrote {} of {committed} partitions",
            count(origin.old.partitions)
        ));
        lines.extend(origin.old.tables.iter().map(|(name, age)| format!("    {name}: {}", describe_age(age))));
        lines.push(
            "    all-docs rebuild updates them without a request; until then DuckDB needs union_by_name".to_owned(),
        );
    }
    #[cfg(feature = "array")]
    lines.extend(origin.arrays.as_ref().map(describe_arrays).unwrap_or_default());
    if !origin.outcomes.is_empty() {
        let outcomes: Vec<String> = origin.outcomes.iter().map(|(name, n)| format!("{} {name}", count(*n))).collect();
        lines.push(format!("  outcomes: {}", outcomes.join(", ")));
    }
    lines.push(String::new());
    lines.join("\n")
}
