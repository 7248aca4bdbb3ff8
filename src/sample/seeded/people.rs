//! People who publish: a few with many packages, most with one or two.
//!
//! Not here: their packages.

use super::super::json::quoted;
use super::super::random::{Random, hash};
use super::words::{FIRST_NAMES, NOUNS};

const LABEL: u64 = 0x7065_6f70;

/// The publishers among a number of packages.
#[derive(Debug, Clone, Copy)]
pub(super) struct People {
    seed: u64,
    count: u64,
}

impl People {
    pub(super) fn among(seed: u64, package_count: usize) -> Self {
        People { seed, count: (package_count as u64 / 3).max(6) }
    }

    /// Returns a user's name; the same number is always the same user.
    pub(super) fn user(&self, number: u64) -> String {
        let mut random = Random::new(self.seed, LABEL ^ (number << 32));
        let (first, noun) = (random.pick(&FIRST_NAMES), random.pick(&NOUNS));
        match random.below(4) {
            0 => format!("{first}{noun}"),
            1 => format!("{first}-{noun}"),
            2 => format!("{first}{}", number + 10),
            _ => format!("{noun}{first}{}", number % 90 + 10),
        }
    }

    pub(super) fn email(user: &str) -> String {
        let host = ["example.com", "example.org", "example.net"][(hash(user.as_bytes()) % 3) as usize];
        format!("{user}@{host}")
    }

    /// Returns the maintainers of a package, its creator first. A scope has a team of its own.
    pub(super) fn maintainers(&self, name: &str, most: u64) -> Vec<String> {
        let owner = name.split_once('/').map_or(name, |(scope, _)| scope);
        let mut random = Random::new(self.seed ^ hash(owner.as_bytes()) as u64, LABEL);
        let team_size =
            if name.starts_with('@') { 1 + random.long_tail(12) } else { 1 + random.long_tail(most.max(1)) };
        let mut team: Vec<String> = Vec::new();
        for _ in 0..team_size {
            // A few are everywhere, as in the real registry; most are not.
            let number = if random.per_mille(250) { random.long_tail(self.count) } else { random.below(self.count) };
            let user = self.user(number);
            if !team.contains(&user) {
                team.push(user);
            }
        }
        team
    }

    /// Returns some users, for stars.
    pub(super) fn some(&self, random: &mut Random, count: u64) -> Vec<String> {
        let mut users: Vec<String> = (0..count).map(|_| self.user(random.below(self.count))).collect();
        users.sort();
        users.dedup();
        users
    }
}

/// Returns people as the registry writes them.
pub(super) fn people(users: &[String]) -> String {
    let entries: Vec<String> = users.iter().map(|user| person(user)).collect();
    format!("[{}]", entries.join(","))
}

/// Returns one of them.
pub(super) fn person(user: &str) -> String {
    format!("{{\"name\":{},\"email\":{}}}", quoted(user), quoted(&People::email(user)))
}
