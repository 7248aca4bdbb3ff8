//! A share of an origin's partitions: a process of several that divide an ingest without telling each other.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// One of several shares of a partition set: each `count`-th partition. Together the shares have each partition once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its place among the shares, from 0.
    place: u32,
    /// The number of shares, at least 1.
    count: u32,
}

impl Share {
    /// Returns the share at a place, which counts from 0.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] if there are not that many shares.
    pub fn new(place: u32, count: u32) -> Result<Share> {
        match place < count {
            true => Ok(Share { place, count }),
            false => Err(Error::input(format!("of {count} shares there is none at the place {place}, counted from 0"))),
        }
    }

    /// Returns whether it is the only one.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Returns the indices of its partitions in a set of `partition_count`, ascending.
    pub(super) fn partitions(self, partition_count: usize) -> impl Iterator<Item = usize> {
        (self.place as usize..partition_count).step_by(self.count.max(1) as usize)
    }
}

/// Parses `3/10`, the third share of ten.
impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Share, String> {
        let share = text.split_once('/').and_then(|(number, count)| {
            let number: u32 = number.trim().parse().ok()?;
            Share::new(number.checked_sub(1)?, count.trim().parse().ok()?).ok()
        });
        share.ok_or_else(|| "give its number and the number of shares, as 3/10 for the third of ten".to_owned())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", u64::from(self.place) + 1, self.count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_each_partition_once() {
        for (count, partitions) in [(1, 5), (3, 10), (10, 3), (4, 0)] {
            let shares = (0..count).map(|place| Share::new(place, count).unwrap());
            let mut all: Vec<usize> = shares.flat_map(|share| share.partitions(partitions)).collect();
            all.sort();
            assert_eq!(all, (0..partitions).collect::<Vec<_>>(), "{count} of {partitions}");
        }
    }

    #[test]
    fn a_share_is_written_by_its_number_from_one_on() {
        assert_eq!("3/10".parse(), Ok(Share { place: 2, count: 10 }));
        assert_eq!("3/10".parse::<Share>().unwrap().to_string(), "3/10");
        for wrong in ["", "3", "0/10", "11/10", "1/0", "-1/3", "a/b", "1/3/5"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
        assert!(Share::new(10, 10).is_err() && Share::new(0, 0).is_err());
    }
}
