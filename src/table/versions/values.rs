//! The members of one version, looked up by their kind.

use crate::npm::packument::{DistOutline, Member, Outline, VersionMember, VersionOutline};

/// The members of one version by name.
pub(in crate::table) struct VersionValues<'t> {
    pub(super) text: &'t str,
    pub(super) members: &'t [Member],
    /// Its `dist`, unless that has to be read from its text.
    pub(in crate::table) dist: Option<&'t DistOutline>,
    places: [u32; VersionMember::COUNT],
    present: Members,
}

/// A set of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Members(u64);

impl Members {
    pub(super) const fn of(members: &[VersionMember]) -> Members {
        const { assert!(VersionMember::COUNT <= u64::BITS as usize) };
        let mut set = Members(0);
        let mut rest = members;
        while let [member, others @ ..] = rest {
            set.0 |= 1 << *member as u8;
            rest = others;
        }
        set
    }

    #[inline]
    pub(super) fn contains(self, others: Members) -> bool {
        self.0 & others.0 == others.0
    }

    #[inline]
    fn insert(&mut self, member: VersionMember) {
        self.0 |= 1 << member as u8;
    }
}

/// The place of a member that the version does not have.
const ABSENT: u32 = u32::MAX;

impl<'t> VersionValues<'t> {
    /// Looks up the members that columns need.
    pub(in crate::table) fn new(text: &'t str, outline: &'t Outline, version: &VersionOutline) -> Self {
        let members = outline.members(version);
        let mut places = [ABSENT; VersionMember::COUNT];
        let mut present = Members::default();
        for (place, found) in members.iter().enumerate() {
            let Some(member) = found.member else { continue };
            if let Some(slot) = places.get_mut(member as usize) {
                *slot = place as u32;
                present.insert(member);
            }
        }
        VersionValues { text, members, dist: outline.dist(version), places, present }
    }

    /// Returns the members that have the same value in `other`, of the same document, or are in neither.
    pub(super) fn same_as(&self, other: &VersionValues<'_>) -> Members {
        let mut same = Members(!(self.present.0 | other.present.0));
        for found in self.members {
            let Some(member) = found.member else { continue };
            if other.member(member).is_some_and(|other| other.value == found.value) {
                same.insert(member);
            }
        }
        same
    }

    /// Returns the member as the outline has it.
    #[inline]
    pub(in crate::table) fn member(&self, member: VersionMember) -> Option<&'t Member> {
        let place = *self.places.get(member as usize)?;
        self.members.get(place as usize)
    }

    /// Returns the value's text; `None` if it is absent or `null`.
    #[inline]
    pub(in crate::table) fn raw(&self, member: VersionMember) -> Option<&'t str> {
        let raw = self.member(member)?.value.of(self.text);
        (raw != "null").then_some(raw)
    }
}
