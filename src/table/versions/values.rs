//! The members of one version, looked up by what they are.

use crate::npm::packument::{Member, VersionMember};

/// The members of one version by name.
pub(in crate::table) struct VersionValues<'t> {
    pub(super) text: &'t str,
    pub(super) members: &'t [Member],
    places: [u32; VersionMember::COUNT],
}

/// The place of a member that the version does not have.
const ABSENT: u32 = u32::MAX;

impl<'t> VersionValues<'t> {
    /// Looks the members up that columns need.
    pub(in crate::table) fn new(text: &'t str, members: &'t [Member]) -> Self {
        let mut places = [ABSENT; VersionMember::COUNT];
        for (place, found) in members.iter().enumerate() {
            if let Some(slot) = found.member.and_then(|member| places.get_mut(member as usize)) {
                *slot = place as u32;
            }
        }
        VersionValues { text, members, places }
    }

    /// The member as the outline has it.
    #[inline]
    pub(in crate::table) fn member(&self, member: VersionMember) -> Option<&'t Member> {
        let place = *self.places.get(member as usize)?;
        self.members.get(place as usize)
    }

    /// The value's text; `None` if it is absent or `null`.
    #[inline]
    pub(in crate::table) fn raw(&self, member: VersionMember) -> Option<&'t str> {
        let raw = self.member(member)?.value.of(self.text);
        (raw != "null").then_some(raw)
    }
}
