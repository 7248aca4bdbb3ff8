//! How far the feed of an origin was followed, by the record that a follower leaves in the lake.

use serde::Serialize;

use crate::error::Result;
use crate::lake::{FollowRecord, OriginLayout};
use crate::npm::Seq;
use crate::store::Store;

/// The state of following an origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FollowStatus {
    /// The place up to which the feed was read; if nothing was read yet, that of the last listing.
    pub place: Option<String>,
    /// The time at which the feed was last read to its end, RFC 3339; a follower notes it every 15 minutes at least.
    pub read_at: Option<String>,
    /// How long ago that is, in seconds.
    pub lag_seconds: Option<u64>,
    /// The distance from the place to the registry's own, as its root told last. Places have gaps.
    pub lag_places: Option<u64>,
    /// Names whose documents are waited for.
    pub lagging: u64,
    /// The time at which the last complete listing began, RFC 3339; `None` while one is owed.
    pub listed_at: Option<String>,
    /// Why the record cannot be read.
    pub unreadable: Option<String>,
}

/// Reads the state of following an origin at `now_us`, in microseconds since 1970; `None` if there is no record.
pub(super) async fn follow_status(store: &Store, layout: &OriginLayout, now_us: i64) -> Result<Option<FollowStatus>> {
    match store.read_record::<FollowRecord>(&layout.follow()).await {
        Ok(record) => Ok(record.map(|record| FollowStatus::of(&record, now_us))),
        Err(error) if error.is_of_system() => Err(error),
        Err(error) => Ok(Some(FollowStatus { unreadable: Some(error.report()), ..FollowStatus::default() })),
    }
}

impl FollowStatus {
    fn of(record: &FollowRecord, now_us: i64) -> FollowStatus {
        let time = |at_us: i64| jiff::Timestamp::from_microsecond(at_us).ok().map(|at| at.to_string());
        let place = record.places.last().or(record.listed.as_ref()).map(|place| &place.seq);
        let number = |seq: Option<&Seq>| seq.and_then(Seq::number);
        let seconds = |at_us: i64| u64::try_from(now_us.saturating_sub(at_us)).unwrap_or(0) / 1_000_000;
        FollowStatus {
            place: place.map(ToString::to_string),
            read_at: record.read_at_us.and_then(time),
            lag_seconds: record.read_at_us.map(seconds),
            lag_places: number(record.head.as_ref()).zip(number(place)).map(|(head, place)| head.saturating_sub(place)),
            lagging: record.lagging.len() as u64,
            listed_at: record.listed.as_ref().and_then(|listed| time(listed.at_us)),
            unreadable: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::{FeedPlace, LaggingName};

    #[test]
    fn the_state_tells_the_place_its_age_and_who_is_waited_for() {
        let place = |number: u64, at_us| FeedPlace { seq: Seq::new(number.to_string()), at_us };
        let lagging = LaggingName {
            name: "a".into(),
            rev: "2-b".into(),
            seq: None,
            is_deleted: false,
            attempts: 1,
            due_at_us: 0,
        };
        let listed = FollowRecord { listed: Some(place(7, 1_000_000)), ..FollowRecord::empty() };
        let of = FollowStatus::of(&listed, 9_000_000);
        assert_eq!((of.place.as_deref(), of.read_at, of.lag_seconds), (Some("7"), None, None));
        assert_eq!(of.listed_at.as_deref(), Some("1970-01-01T00:00:01Z"));
        let followed = FollowRecord {
            places: vec![place(7, 1_000_000), place(12, 3_000_000)],
            head: Some(Seq::new("15")),
            read_at_us: Some(3_000_000),
            lagging: vec![lagging],
            ..listed
        };
        let of = FollowStatus::of(&followed, 9_000_000);
        assert_eq!((of.place.as_deref(), of.read_at.as_deref()), (Some("12"), Some("1970-01-01T00:00:03Z")));
        assert_eq!((of.lag_seconds, of.lag_places, of.lagging), (Some(6), Some(3), 1));
    }
}
