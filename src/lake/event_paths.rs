//! The paths of events: staged ones, those of commits, and those of days.

use super::layout::OriginLayout;
use super::partition::Partition;

/// How many characters of a digest tell the events of two commits apart.
const DIGEST_CHARS: usize = 16;
/// The digits of a time in the name of a file: names sort by time until the year 5000.
const TIME_DIGITS: usize = 17;

impl OriginLayout {
    /// Returns the file stem of the lease under which events are put into the files of their days.
    pub fn events_lease() -> &'static str {
        "events"
    }

    /// Returns the path of the events that wait for their commit.
    pub fn staged_events(&self, partition: &Partition) -> String {
        format!("{}/events.staged", self.partition_staging(partition))
    }

    /// Returns the path of their copy, which outlives the scratch folder of the process that made them.
    pub fn kept_events(&self, partition: &Partition, sha256: &str) -> String {
        format!("{}/events-{}.kept", self.partition_staging(partition), short(sha256))
    }

    /// Returns the name of the file of one commit's events in the feed. They were seen at `seen_at_us`, in microseconds
    /// since 1970. Names sort by time.
    pub fn feed_name(seen_at_us: i64, sha256: &str) -> String {
        format!("{:0width$}-{}.parquet", seen_at_us.max(0), short(sha256), width = TIME_DIGITS)
    }

    /// Returns the path of the file of one commit's events.
    pub fn feed_file(&self, name: &str) -> String {
        format!("{}/{name}", self.feed())
    }

    /// Returns when the events at a path of the feed were seen, in microseconds since 1970; `None` for any other path.
    pub fn parse_feed_file(&self, path: &str) -> Option<i64> {
        let name = path.strip_prefix(self.feed().as_str())?.strip_prefix('/')?.strip_suffix(".parquet")?;
        let (time, digest) = name.split_once('-')?;
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let is_ours = time.len() == TIME_DIGITS
            && time.bytes().all(|byte| byte.is_ascii_digit())
            && digest.len() == DIGEST_CHARS
            && digest.chars().all(is_hex);
        if is_ours { time.parse().ok() } else { None }
    }

    /// Returns the path of the record of the events that outputs have not received yet.
    pub fn event_outputs(&self) -> String {
        format!("{}/outputs.json", self.feed())
    }

    /// Returns the path of the events of a day, `2026-11-29`.
    pub fn events_of_day(&self, day: jiff::civil::Date) -> String {
        format!("{}/{day}.parquet", self.events())
    }

    /// Returns the day whose events are at a path; `None` for any other path.
    pub fn parse_events_of_day(&self, path: &str) -> Option<jiff::civil::Date> {
        let name = path.strip_prefix(self.events().as_str())?.strip_prefix('/')?;
        let day: jiff::civil::Date = name.strip_suffix(".parquet")?.parse().ok()?;
        (name == format!("{day}.parquet")).then_some(day)
    }

    /// Returns whether a path is that of a file of events: of a commit, or of a day.
    pub fn is_of_events(&self, path: &str) -> bool {
        self.parse_feed_file(path).is_some() || self.parse_events_of_day(path).is_some()
    }

    /// Returns the path at which the new file of a day is made.
    pub fn staged_events_of_day(&self) -> String {
        format!("{}/events.staged", self.staging())
    }
}

fn short(sha256: &str) -> &str {
    sha256.get(..DIGEST_CHARS).unwrap_or(sha256)
}

#[cfg(test)]
mod tests {
    use super::super::Layout;
    use super::*;

    #[test]
    fn names_of_events_are_read_back_and_others_are_not() {
        let layout = Layout::origin("npm");
        let sha256 = "0123456789abcdef0123";
        let path = layout.feed_file(&OriginLayout::feed_name(1_764_460_000_123_456, sha256));
        assert_eq!(path, "npm/feed/01764460000123456-0123456789abcdef.parquet");
        assert_eq!(layout.parse_feed_file(&path), Some(1_764_460_000_123_456));
        assert_eq!(layout.delta(3, 4).whole_origin().feed(), "npm/feed");
        let day = jiff::civil::date(2026, 11, 29);
        assert_eq!(layout.parse_events_of_day(&layout.events_of_day(day)), Some(day));
        for foreign in
            ["npm/feed/a.parquet", "npm/feed/01764460000123456-0123456789abcde.parquet", "npm/events/1.parquet"]
        {
            assert_eq!((layout.parse_feed_file(foreign), layout.parse_events_of_day(foreign)), (None, None));
        }
        assert_eq!(layout.parse_events_of_day("npm/events/20261129.parquet"), None);
        assert_eq!(layout.parse_events_of_day("npm/events/x/2026-11-29.parquet"), None);
    }
}
