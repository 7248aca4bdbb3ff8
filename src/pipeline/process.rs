//! Processes: the identity of this one, and whether another one of the same machine has died.
//!
//! Only Linux is supported, through `/proc`. On other systems nothing is known, and a lock lapses only by its expiry.

use crate::lake::ProcessIdentity;

/// Returns the name of this machine, for people to read.
pub(super) fn host_name() -> String {
    hostname::get().map_or_else(|_| "an unknown host".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Returns the identity of this process beside its id; `None` if the system does not provide it.
pub(super) fn own_identity() -> Option<ProcessIdentity> {
    Some(ProcessIdentity { system: system()?, started_ticks: started_ticks("self")? })
}

/// Returns whether the process of this id and identity has surely died.
pub(super) fn has_died(process_id: u32, identity: &ProcessIdentity) -> bool {
    // On another machine, in another container or of another user, a process that is not visible here may well be
    // alive.
    system().as_ref() == Some(&identity.system)
        && started_ticks(&process_id.to_string()) != Some(identity.started_ticks)
}

#[cfg(target_os = "linux")]
fn system() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let user = std::fs::metadata("/proc/self").ok()?.uid();
    Some(format!("{} {} user {user}", boot.trim(), processes.display()))
}

/// Returns when a process began; `None` if it does not exist, or has ended and waits for its parent to notice.
#[cfg(target_os = "linux")]
fn started_ticks(process: &str) -> Option<u64> {
    const STATE: usize = 0;
    const STARTED: usize = 19;
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name, which may contain blanks and parentheses.
    let (_, fields) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let has_ended = matches!(fields.get(STATE), Some(&("Z" | "X")));
    if has_ended { None } else { fields.get(STARTED)?.parse().ok() }
}

#[cfg(not(target_os = "linux"))]
fn system() -> Option<String> {
    None
}

#[cfg(not(target_os = "linux"))]
fn started_ticks(_process: &str) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_dead_and_one_that_runs_is_not() {
        let own = own_identity().unwrap();
        assert!(!has_died(std::process::id(), &own));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity =
            ProcessIdentity { system: own.system, started_ticks: started_ticks(&child.id().to_string()).unwrap() };
        assert!(!has_died(child.id(), &identity));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_died(child.id(), &identity));
    }

    #[test]
    fn an_id_that_another_process_has_now_does_not_keep_the_dead_alive() {
        let mut identity = own_identity().unwrap();
        identity.started_ticks += 1;
        assert!(has_died(std::process::id(), &identity));
    }

    #[test]
    fn nothing_is_known_of_processes_elsewhere() {
        let identity = ProcessIdentity { system: "another machine".to_owned(), started_ticks: 1 };
        assert!(!has_died(u32::MAX, &identity));
    }
}
