//! The watch over the buckets of a command while it runs: it says that a bucket fails, and lets a command that is asked to
//! stop not wait for it. Not here: retries (`store`).

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::printer::Printer;
use super::settings::Settings;

/// The time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// The time that a bucket fails until that is said.
const WORTH_SAYING: Duration = Duration::from_secs(5);

/// Watches the buckets of a command until it is dropped.
pub(super) async fn watch(settings: &Settings, printer: &Printer, stop: &CancellationToken) -> Infallible {
    let mut told = BTreeSet::new();
    loop {
        tokio::time::sleep(LOOK).await;
        for store in settings.opened() {
            if stop.is_cancelled() {
                store.hurry();
            }
            let location = store.location();
            match store.trouble(WORTH_SAYING) {
                Some(cause) if !told.contains(&location) => {
                    printer
                        .note(&format!("{location} fails ({cause}); each request is sent again for a minute at most"));
                    told.insert(location);
                }
                None => drop(told.remove(&location)),
                Some(_) => {}
            }
        }
    }
}
