//! Shows progress: as a bar on a terminal, as a plain line now and then in a log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::task::AbortOnDropHandle;

use super::log;
use super::printer::Printer;
use crate::pipeline::{Progress, ProgressSnapshot};
use crate::registry::{GateStatus, Registry};

/// The time between two redraws of a terminal.
const REDRAW: Duration = Duration::from_millis(200);
/// The time between two lines of a log, long enough to keep the log of a day's run readable.
const LOG_LINE: Duration = Duration::from_secs(10);

/// The meter shows gates that are closed for at least this long.
const WORTH_SAYING: Duration = Duration::from_secs(2);

/// Shows progress until it is dropped.
pub(super) struct Meter {
    _task: Option<AbortOnDropHandle<()>>,
    bar: Option<ProgressBar>,
}

impl Meter {
    /// Begins to show `progress`; shows nothing on a quiet printer.
    pub(super) fn start(printer: &Printer, progress: Arc<Progress>) -> Meter {
        Meter::show(printer, progress, None)
    }

    /// Begins to show `progress` of a run that uses `registry`, and shows when requests to a host are paused.
    pub(super) fn start_asking(printer: &Printer, progress: Arc<Progress>, registry: Registry) -> Meter {
        Meter::show(printer, progress, Some(registry))
    }

    fn show(printer: &Printer, progress: Arc<Progress>, registry: Option<Registry>) -> Meter {
        let look = move |elapsed| {
            let now = progress.snapshot();
            let mut line = line(&now, elapsed);
            let at = jiff::Timestamp::now();
            let gates = registry.iter().flat_map(Registry::gates);
            if let Some(waits) = gates.into_iter().find_map(|gate| waiting(&gate, at)) {
                line.insert_str(0, &format!("{waits} · "));
            }
            (now, line)
        };
        if printer.is_quiet() {
            return Meter { _task: None, bar: None };
        }
        let started = Instant::now();
        if !printer.shows_bars() {
            let printer = printer.clone();
            let task = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(LOG_LINE).await;
                    printer.note(&look(started.elapsed()).1);
                }
            });
            return Meter { _task: Some(AbortOnDropHandle::new(task)), bar: None };
        }
        let bar = printer.bars().add(ProgressBar::new(0));
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:16.cyan/dim} {wide_msg}") {
            bar.set_style(style);
        }
        let drawn = bar.clone();
        let task = tokio::spawn(async move {
            loop {
                let (now, line) = look(started.elapsed());
                let (done, total) = measure(&now);
                drawn.set_length(total.max(1));
                drawn.set_position(done.min(total));
                drawn.set_message(line);
                tokio::time::sleep(REDRAW).await;
            }
        });
        Meter { _task: Some(AbortOnDropHandle::new(task)), bar: Some(bar) }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Describes a closed gate, so a user sees why nothing moves. Returns `None` for the second that a single refusal
/// costs.
fn waiting(gate: &GateStatus, now: jiff::Timestamp) -> Option<String> {
    let closed_for = gate.closed_for.filter(|closed_for| *closed_for >= WORTH_SAYING)?;
    // The time until a refusal ends is the same in each redraw, unlike the time left.
    let at = |after: Duration, form: &str| (now + after).strftime(form).to_string();
    let mut text = format!("refused by {}; next try at {}", gate.host, at(closed_for, "%H:%M:%S"));
    if let Some(gives_up_in) = gate.gives_up_in {
        text.push_str(&format!(", gives up at {}", at(gives_up_in, "%H:%M")));
    }
    Some(format!("{text} UTC"))
}

/// Returns the completed amount and the total, in the unit of the run's current phase.
fn measure(now: &ProgressSnapshot) -> (u64, u64) {
    if now.count_requests_planned > 0 {
        return (now.count_requests_done, now.count_requests_planned);
    }
    if now.shard_bytes_planned > 0 {
        return (now.shard_bytes, now.shard_bytes_planned);
    }
    if now.partitions_total == 0 || now.packuments_planned == 0 {
        return (now.rows_scanned, now.rows_expected);
    }
    (now.packuments_done, expected_packuments(now))
}

/// Estimates the documents that the run will ask for. They are known for planned partitions and extrapolated by rows
/// for the rest. Partitions are planned when all rows are listed.
fn expected_packuments(now: &ProgressSnapshot) -> u64 {
    let planned = now.rows_planned.max(1);
    let rows = now.rows_scanned.max(planned);
    (now.packuments_planned as f64 * (rows as f64 / planned as f64)) as u64
}

/// Formats the state as one line, the most important first: partitions, time left, packuments, bytes, rate, rows.
fn line(now: &ProgressSnapshot, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let mut parts = Vec::new();
    if now.partitions_total > 0 {
        parts.push(format!("{}/{} partitions", log::count(now.partitions_done), log::count(now.partitions_total)));
    }
    let (done, total) = measure(now);
    // The documents that an earlier run fetched took no time.
    let done_now = done.saturating_sub(now.packuments_resumed);
    if done_now > 0 && total > done {
        parts.push(format!("{} left", log::duration(elapsed.mul_f64((total - done) as f64 / done_now as f64))));
    }
    if now.packuments_failed > 0 {
        parts.push(format!("{} failed", log::count(now.packuments_failed)));
    }
    if now.packuments_planned > 0 {
        let rate = now.packuments_done.saturating_sub(now.packuments_resumed) as f64 / seconds;
        parts.push(format!("{} packuments", log::count(now.packuments_done)));
        parts.push(log::bytes(now.document_bytes));
        parts.push(format!("{}/s", log::count(rate as u64)));
    }
    if now.count_requests_planned > 0 {
        parts.push(format!("{} of {} requests", log::count(done), log::count(total)));
        parts.push(format!("{} packages", log::count(now.names_counted)));
    } else if now.shard_bytes_planned > 0 {
        let (done, total) = (log::bytes(now.shard_bytes), log::bytes(now.shard_bytes_planned));
        parts.push(format!("{done} of {total}"));
    } else {
        parts.push(format!("{} rows", log::count(now.rows_scanned)));
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_refuses_is_shown() {
        let gate = |closed_for| GateStatus {
            host: "registry.npmjs.org".to_owned(),
            in_flight: 0,
            concurrency: 4,
            requests_per_second: None,
            closed_for,
            gives_up_in: closed_for.map(|_| Duration::from_secs(3600)),
        };
        let now = "2026-11-29T03:13:00Z".parse().expect("a time");
        assert_eq!(waiting(&gate(None), now), None);
        assert_eq!(waiting(&gate(Some(Duration::from_millis(1_100))), now), None);
        let told = waiting(&gate(Some(Duration::from_secs(75))), now);
        let expected = "refused by registry.npmjs.org; next try at 03:14:15, gives up at 04:13 UTC";
        assert_eq!(told.as_deref(), Some(expected));
    }

    #[test]
    fn a_line_shows_progress_rate_and_time_left() {
        let listing = ProgressSnapshot { rows_scanned: 1_000, rows_expected: 4_000, ..Default::default() };
        assert_eq!(line(&listing, Duration::from_secs(10)), "30 s left · 1,000 rows");
        // One of four partitions is planned, so there will be four times as many documents.
        let fetching = ProgressSnapshot {
            rows_scanned: 4_000,
            rows_planned: 1_000,
            partitions_total: 4,
            packuments_planned: 1_000,
            packuments_done: 500,
            document_bytes: 5_000_000,
            ..listing
        };
        assert_eq!(
            line(&fetching, Duration::from_secs(10)),
            "0/4 partitions · 1 min 10 s left · 500 packuments · 5.0 MB · 50/s · 4,000 rows"
        );
        let copying = ProgressSnapshot {
            partitions_total: 4,
            partitions_done: 1,
            shard_bytes_planned: 4_000_000,
            shard_bytes: 1_000_000,
            ..Default::default()
        };
        assert_eq!(line(&copying, Duration::from_secs(10)), "1/4 partitions · 30 s left · 1.0 MB of 4.0 MB");
        let counting = ProgressSnapshot {
            count_requests_planned: 400,
            count_requests_done: 100,
            names_counted: 9_000,
            ..Default::default()
        };
        assert_eq!(line(&counting, Duration::from_secs(10)), "30 s left · 100 of 400 requests · 9,000 packages");
        let resumed = ProgressSnapshot { packuments_resumed: 400, ..fetching };
        assert_eq!(
            line(&resumed, Duration::from_secs(10)),
            "0/4 partitions · 5 min 50 s left · 500 packuments · 5.0 MB · 10/s · 4,000 rows"
        );
    }
}
