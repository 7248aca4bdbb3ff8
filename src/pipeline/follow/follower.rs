//! A follower: does the rounds. Not here: when the next one begins (`follow`).

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::listing::{MOST_CHANGES, list};
use super::start::Opened;
use super::{Clock, FollowMetrics, FollowOptions, Round, RoundListing};
use crate::error::{Doing, Error, Result};
use crate::follow::{Feed, FeedSettings, GivenUp, Reading, Turn, WhyListing};
use crate::lake::FollowRecord;
use crate::npm::{Change, ChangesPage, ChangesQuery, MAX_PAGE_ROWS, Seq};
use crate::pipeline::lease::LeaseWatch;
use crate::pipeline::overlay::{ChangeWriter, WriterOptions};
use crate::pipeline::progress::Progress;
use crate::registry::Registry;
use crate::store::Store;

/// A record in which nothing but the time of the last reading is new is written this often.
const RECORD_TIMES_US: u64 = 15 * 60 * 1_000_000;
/// The most pages of one round. A round that meets it ends, and the next one continues.
const MOST_PAGES: usize = 2_000;

/// A follower of one origin. It holds the lease.
pub(super) struct Follower {
    store: Store,
    registry: Registry,
    writer: ChangeWriter,
    feed: Feed,
    clock: Clock,
    metrics: Arc<FollowMetrics>,
    stop: CancellationToken,
    once: bool,
    since: Option<Seq>,
    /// The record as it was written last.
    written: Option<FollowRecord>,
}

impl Follower {
    pub(super) async fn open(
        options: &FollowOptions,
        opened: Opened,
        lease: LeaseWatch,
        metrics: Arc<FollowMetrics>,
        progress: Arc<Progress>,
        stop: CancellationToken,
    ) -> Result<Follower> {
        let Opened { layout, set } = opened;
        let written = options.store.read_record::<FollowRecord>(&layout.follow()).await?;
        let us = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let settings = FeedSettings { window_us: us(options.window), reconcile_us: us(options.reconcile) };
        let mut writer = ChangeWriter::new(WriterOptions {
            store: options.store.clone(),
            registry: options.registry.clone(),
            layout,
            set,
            representation: options.representation,
            progress,
            stop: stop.clone(),
            lease,
            fold: options.fold,
        });
        writer.draw_sample().await?;
        Ok(Follower {
            store: options.store.clone(),
            registry: options.registry.clone(),
            writer,
            feed: Feed::new(written.clone().unwrap_or_else(FollowRecord::empty), settings),
            clock: options.clock.clone(),
            metrics,
            stop,
            once: options.once,
            since: options.since.clone(),
            written,
        })
    }

    /// Returns the newest place that was read.
    pub(super) fn place(&self) -> Option<String> {
        self.feed.place().map(ToString::to_string)
    }

    fn events_recorded(&self) -> u64 {
        self.writer.options.progress.events_recorded.load(Ordering::Relaxed)
    }

    /// Returns how long it is until a document is to be asked for again; `None` if none is.
    pub(super) fn until_due(&self) -> Option<Duration> {
        let us = self.feed.lagging.next_due_us()?.saturating_sub(self.clock.now_us()).max(0);
        Some(Duration::from_micros(u64::try_from(us).unwrap_or(0)))
    }

    /// Does a round: the root, the listing if it is due, the feed to its end, and the documents that are due.
    pub(super) async fn round(&mut self) -> (Round, Result<()>) {
        self.report(async |follower, round| {
            follower.ask_root(round).await?;
            // A listing that fails does not hold up the feed.
            let listed = Box::pin(follower.list_if_due(round)).await;
            Box::pin(follower.read(round)).await?;
            Box::pin(follower.apply_due(round)).await?;
            let tended = Box::pin(follower.writer.tend()).await?;
            follower.metrics.change(|counts| {
                counts.merges += tended.merges;
                counts.folds += tended.folds;
            });
            listed
        })
        .await
    }

    /// Asks again for the documents that are due.
    pub(super) async fn ask_again(&mut self) -> (Round, Result<()>) {
        self.report(async |follower, round| Box::pin(follower.apply_due(round)).await).await
    }

    /// Does `work`, writes the record, and completes the report.
    async fn report(&mut self, work: impl AsyncFnOnce(&mut Follower, &mut Round) -> Result<()>) -> (Round, Result<()>) {
        let mut round = Round::begun_now();
        let requests = self.registry.statistics().requests;
        let events = self.events_recorded();
        let worked = work(self, &mut round).await;
        // The commits are noted also if the rest failed.
        let saved = self.save().await;
        let ended = worked.and(saved);
        round.requests = self.registry.statistics().requests - requests;
        round.events = self.events_recorded() - events;
        round.lagging = self.feed.lagging.len() as u64;
        round.place = self.place();
        round.head = self.feed.head().map(ToString::to_string);
        round.error = ended.as_ref().err().map(Error::report);
        self.metrics.change(|counts| {
            counts.rounds += u64::from(ended.is_ok());
            counts.errors += u64::from(ended.is_err());
            counts.events += round.events;
            counts.committed += round.committed;
            counts.changes += round.changes;
            counts.rows += round.rows;
            counts.lagging = round.lagging;
            counts.given_up = self.feed.lagging.given_up();
            counts.place = self.feed.place().and_then(Seq::number);
            counts.head = self.feed.head().and_then(Seq::number);
        });
        (round, ended)
    }

    /// Asks the registry's root for its place.
    async fn ask_root(&mut self, round: &mut Round) -> Result<()> {
        let Some(mut head) = self.head().await? else {
            return Err(Error::input(format!(
                "the registry {} does not say where its feed of changes stands",
                self.registry.origin().replicate_url
            ))
            .hint("it must be a registry with _changes, like npm's, CouchDB's or a mirror of them"));
        };
        if let Some(since) = self.since.take() {
            if head.number().is_some() && since.number().is_none() {
                return Err(Error::input(format!(
                    "--since {since} is no place of this registry's feed, which has numbers"
                ))
                .hint(format!("give a number up to {head}, or leave --since out to continue from the lake's place")));
            }
            if head.is_behind(&since) {
                return Err(Error::input(format!("--since {since} lies beyond the registry's own place, {head}"))
                    .hint(
                        "give a place that the registry has told, or leave --since out to continue from the lake's",
                    ));
            }
            self.feed.start_at(since, self.clock.now_us());
        }
        if self.feed.is_back(&head) {
            // One of several servers may be behind the others.
            head = self.head().await?.unwrap_or(head);
        }
        let before = self.feed.place().cloned();
        let note = match (self.feed.told(head.clone(), self.clock.now_us()), before) {
            (Some(GivenUp::WentBack), Some(before)) => {
                format!("the registry's place has gone back to {head}, behind {before}: it is listed instead")
            }
            (Some(GivenUp::Foreign), Some(before)) => {
                format!("the noted place {before} is none of this registry's feed: it is listed instead")
            }
            (Some(GivenUp::Away), _) => {
                "the last reading is more than 7 days ago: the registry is listed instead".to_owned()
            }
            (Some(GivenUp::None | GivenUp::WentBack | GivenUp::Foreign), _) => {
                format!("no place of the feed is known: the registry is listed, and the feed is followed from {head}")
            }
            (None, _) => return Ok(()),
        };
        tracing::warn!("{note}");
        round.notes.push(note);
        Ok(())
    }

    async fn head(&self) -> Result<Option<Seq>> {
        let info = self.stop.run_until_cancelled(self.registry.info()).await;
        Ok(info.unwrap_or_else(|| Err(Error::interrupted()))?.update_seq)
    }

    async fn list_if_due(&mut self, round: &mut Round) -> Result<()> {
        let began_at_us = self.clock.now_us();
        let Some(why) = self.feed.wants_listing(began_at_us) else { return Ok(()) };
        let head = self.feed.head().cloned();
        if why == WhyListing::StandsStill {
            round.notes.push("the feed has stood still for hours: the registry is listed as well".to_owned());
        }
        match list(&self.writer, &mut self.feed.lagging, &self.clock).await {
            Ok(listed) => {
                self.feed.listed(why, head, began_at_us);
                let why = match why {
                    WhyListing::Owed => "owed",
                    WhyListing::Due => "due",
                    WhyListing::StandsStill => "stands_still",
                };
                round.listing = Some(RoundListing { why, listed: listed.names, changes: listed.changes });
                round.committed += listed.committed;
                self.metrics.change(|counts| {
                    counts.listings += 1;
                    counts.commits += listed.commits;
                });
                self.save().await
            }
            Err(error) => {
                self.feed.listing_failed(self.clock.now_us());
                Err(error.doing("listing the registry"))
            }
        }
    }

    /// Reads the feed to its end, page by page; each page is committed before the next one is asked for.
    async fn read(&mut self, round: &mut Round) -> Result<()> {
        let began_at_us = self.clock.now_us();
        let Some(mut reading) = self.feed.begin(self.once) else { return Ok(()) };
        for _ in 0..MOST_PAGES {
            let page = self.page(&reading).await?;
            let turn = reading.judge(&page, MAX_PAGE_ROWS);
            if turn == Turn::Again {
                self.metrics.change(|counts| counts.stale_pages += 1);
                continue;
            }
            let at_us = self.clock.now_us();
            round.rows += page.rows.len() as u64;
            let mut news = self.writer.news(self.feed.news(&page.rows)).await?;
            round.changes += news.len() as u64;
            while !news.is_empty() {
                let rest = news.split_off(news.len().min(MOST_CHANGES));
                self.apply(news, round).await.doing(|| format!("committing changes after {}", reading.since))?;
                news = rest;
            }
            self.feed.took(&page.rows, page.last_seq.as_ref(), at_us);
            if turn == Turn::Last {
                self.feed.ended(&reading, began_at_us);
                self.metrics.change(|counts| counts.read_at_us = Some(began_at_us));
                round.ends_behind = reading.ends_behind;
                return Ok(());
            }
            self.save().await?;
        }
        Ok(())
    }

    async fn page(&self, reading: &Reading) -> Result<ChangesPage> {
        let query = ChangesQuery { since: Some(reading.since.clone()), limit: MAX_PAGE_ROWS };
        let page = async {
            match reading.past_caches {
                true => self.registry.changes_past_caches(&query).await,
                false => self.registry.changes(&query).await,
            }
        };
        self.stop.run_until_cancelled(page).await.unwrap_or_else(|| Err(Error::interrupted()))
    }

    /// Asks for documents and commits them; those that are to come are entered among the lagging ones.
    async fn apply(&mut self, changes: Vec<Change>, round: &mut Round) -> Result<()> {
        let applied = Box::pin(self.writer.apply(changes.clone())).await?;
        round.committed += applied.committed;
        self.metrics.change(|counts| counts.commits += 1);
        self.feed.lagging.asked(&changes, applied.lagging, self.clock.now_us());
        Ok(())
    }

    async fn apply_due(&mut self, round: &mut Round) -> Result<()> {
        let mut due = self.feed.lagging.due(self.clock.now_us());
        round.asked_again += due.len() as u64;
        while !due.is_empty() {
            let rest = due.split_off(due.len().min(MOST_CHANGES));
            self.apply(due, round).await?;
            due = rest;
        }
        Ok(())
    }

    /// Writes the record, unless only the time of the last reading is new and not much later. Learns of a listing that
    /// another process has completed meanwhile.
    async fn save(&mut self) -> Result<()> {
        let record = self.feed.record();
        if let Some(written) = &self.written {
            let us = |record: &FollowRecord| record.read_at_us.unwrap_or_default();
            // A time in the future is replaced at once.
            let is_recent = us(&record).abs_diff(us(written)) < RECORD_TIMES_US;
            let times_aside = |record: &FollowRecord| FollowRecord {
                read_at_us: None,
                reread_at_us: None,
                head: None,
                ..record.clone()
            };
            if is_recent && times_aside(&record) == times_aside(written) {
                return Ok(());
            }
        }
        let known_us = self.written.as_ref().and_then(|written| written.listed.as_ref()).map(|listed| listed.at_us);
        let mut theirs = None;
        let change = |found: &mut FollowRecord| {
            theirs = found.listed.take().filter(|listed| known_us.is_none_or(|known_us| listed.at_us > known_us));
            *found = record.clone();
            if let Some(listed) = &theirs {
                found.note_listing(listed.clone());
            }
        };
        let empty = || ready(Ok(FollowRecord::empty()));
        let written = self.store.update_record(&self.writer.options.layout.follow(), empty, change).await?;
        self.feed.learn_listing(theirs);
        self.written = Some(written);
        Ok(())
    }
}
