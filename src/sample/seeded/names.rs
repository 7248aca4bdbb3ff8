//! Names for a number of packages, by their rank in popularity: about half of them scoped, all different.
//!
//! Not here: the packages' content.

use std::collections::HashSet;

use super::super::random::Random;
use super::words::{ADJECTIVES, FIRST_NAMES, HUBS, NOUNS, PLATFORMS, SCOPED_PARTS, TOPICS};

const LABEL: u64 = 0x6e61_6d65;

pub(super) fn names(seed: u64, count: usize) -> Vec<Box<str>> {
    let mut random = Random::new(seed, LABEL);
    let scope_count = (count as u64 / 14).max(3);
    let mut taken: HashSet<Box<str>> = HashSet::with_capacity(count);
    let mut names = Vec::with_capacity(count);
    while names.len() < count {
        let hub = HUBS.get(names.len()).map(|hub| (*hub).to_owned());
        let mut name = hub.unwrap_or_else(|| invent(seed, scope_count, &mut random)).into_boxed_str();
        let mut next = 2;
        while !taken.insert(name.clone()) {
            name = format!("{}-{next}", name.trim_end_matches(|end: char| end == '-' || end.is_ascii_digit())).into();
            next += random.between(1, 9);
        }
        names.push(name);
    }
    names
}

fn invent(seed: u64, scope_count: u64, random: &mut Random) -> String {
    let (adjective, noun, topic) = (random.pick(&ADJECTIVES), random.pick(&NOUNS), random.pick(&TOPICS));
    let (platform, part) = (random.pick(&PLATFORMS), random.pick(&SCOPED_PARTS));
    if random.per_mille(500) {
        let scope = scope(seed, random.long_tail(scope_count));
        return match random.below(8) {
            0..4 => format!("@{scope}/{part}"),
            4 => format!("@{scope}/{topic}"),
            5 => format!("@{scope}/{platform}-{topic}"),
            6 => format!("@{scope}/{noun}-{topic}"),
            _ => format!("@{scope}/{adjective}-{noun}"),
        };
    }
    let name = match random.below(20) {
        0..5 => format!("{noun}-{topic}"),
        5..9 => format!("{adjective}-{noun}"),
        9..13 => format!("{platform}-{noun}-{topic}"),
        13..16 => format!("{adjective}-{noun}-{topic}"),
        16 => format!("{noun}js"),
        17 => format!("{noun}.js"),
        18 => format!("{platform}-{adjective}-{noun}"),
        _ => format!("{topic}-{noun}"),
    };
    // Upper case was allowed until 2014; about 3,000 such names are left.
    if random.per_mille(2) { name[..1].to_uppercase() + &name[1..] } else { name }
}

fn scope(seed: u64, number: u64) -> String {
    let mut random = Random::new(seed, LABEL ^ (number << 32));
    match random.below(4) {
        0 => format!("{}{}", random.pick(&FIRST_NAMES), random.between(1, 99)),
        1 => format!("{}{}", random.pick(&ADJECTIVES), random.pick(&NOUNS)),
        2 => format!("{}-labs", random.pick(&NOUNS)),
        _ => format!("{}-{}", random.pick(&NOUNS), random.pick(&TOPICS)),
    }
}
