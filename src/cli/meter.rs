//! The meter: progress as a bar on a terminal, as a plain line now and then in a log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::task::AbortOnDropHandle;

use super::log;
use super::printer::Printer;
use crate::pipeline::{Progress, ProgressSnapshot};

/// How often a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(200);
/// How often a log gets a line: rarely enough to stay readable over a day's run.
const LOG_LINE: Duration = Duration::from_secs(10);

/// Shows progress until it is dropped.
pub(super) struct Meter {
    _task: Option<AbortOnDropHandle<()>>,
    bar: Option<ProgressBar>,
}

impl Meter {
    /// Begins to show `progress`; shows nothing on a quiet printer.
    pub(super) fn start(printer: &Printer, progress: Arc<Progress>) -> Meter {
        if printer.is_quiet() {
            return Meter { _task: None, bar: None };
        }
        let started = Instant::now();
        if !printer.stderr_is_terminal() {
            let printer = printer.clone();
            let task = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(LOG_LINE).await;
                    printer.note(&line(&progress.snapshot(), started.elapsed()));
                }
            });
            return Meter { _task: Some(AbortOnDropHandle::new(task)), bar: None };
        }
        let bar = printer.bars().add(ProgressBar::new(0));
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:24.cyan/dim} {msg}") {
            bar.set_style(style);
        }
        let drawn = bar.clone();
        let task = tokio::spawn(async move {
            loop {
                let now = progress.snapshot();
                let (done, total) = measure(&now);
                drawn.set_length(total.max(1));
                drawn.set_position(done.min(total));
                drawn.set_message(line(&now, started.elapsed()));
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

/// What is done and what there is to do, in the unit that the run is in.
fn measure(now: &ProgressSnapshot) -> (u64, u64) {
    if now.partitions_total == 0 || now.packuments_planned == 0 {
        return (now.rows_scanned, now.rows_expected);
    }
    (now.packuments_done, expected_packuments(now))
}

/// Documents that the run will ask for: known for the partitions that are planned, extrapolated over the rest.
fn expected_packuments(now: &ProgressSnapshot) -> u64 {
    let scanned = now.rows_scanned.max(1);
    let expected = now.rows_expected.max(scanned);
    (now.packuments_planned as f64 * (expected as f64 / scanned as f64)) as u64
}

/// The state in one line: partitions, rows, packuments, bytes, rate, time left.
fn line(now: &ProgressSnapshot, elapsed: Duration) -> String {
    let mut parts = Vec::new();
    if now.partitions_total > 0 {
        parts.push(format!("{}/{} partitions", log::count(now.partitions_done), log::count(now.partitions_total)));
    }
    parts.push(format!("{} rows", log::count(now.rows_scanned)));
    if now.packuments_planned > 0 {
        let seconds = elapsed.as_secs_f64().max(0.001);
        parts.push(format!("{} packuments", log::count(now.packuments_done)));
        parts.push(log::bytes(now.document_bytes));
        parts.push(format!("{}/s", log::count((now.packuments_done as f64 / seconds) as u64)));
    }
    let (done, total) = measure(now);
    if done > 0 && total > done {
        let left = elapsed.mul_f64((total - done) as f64 / done as f64);
        parts.push(format!("{} left", log::duration(left)));
    }
    if now.packuments_failed > 0 {
        parts.push(format!("{} failed", log::count(now.packuments_failed)));
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let now = ProgressSnapshot {
            rows_scanned: 1_000,
            rows_expected: 2_000,
            partitions_total: 4,
            partitions_done: 1,
            packuments_planned: 1_000,
            packuments_done: 500,
            document_bytes: 5_000_000,
            ..Default::default()
        };
        assert_eq!(
            line(&now, Duration::from_secs(10)),
            "1/4 partitions · 1,000 rows · 500 packuments · 5.0 MB · 50/s · 30 s left"
        );
    }
}
