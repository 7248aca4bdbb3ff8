#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use super::seat::SeatFiles;
use super::*;
use crate::registry::limiter::Observation;
use crate::registry::limiter::gate::Gate;
use crate::registry::limiter::permit::Permit;

const HOST: &str = "registry.example";

/// There is no bound except the places in flight: nothing here waits for time.
fn limits(places: u32) -> HostLimits {
    HostLimits { max_concurrency: places, max_requests_per_second: None, ..HostLimits::registry() }
}

fn in_folder(folder: &std::path::Path, limits: HostLimits) -> Gate {
    Gate::new(HOST.to_owned(), limits, NonZeroU32::MIN, Some(Place::folder(folder, HOST)))
}

fn process(folder: &tempfile::TempDir, limits: HostLimits) -> Gate {
    in_folder(folder.path(), limits)
}

/// Lets other tasks run until a condition holds.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

fn waits(gate: &Gate) -> tokio::task::JoinHandle<Permit> {
    let gate = gate.clone();
    tokio::spawn(async move { gate.enter().await.unwrap() })
}

/// Returns a coordinator and this many members.
async fn processes(folder: &tempfile::TempDir, limits: &HostLimits, members: usize) -> Vec<Gate> {
    let mut gates = Vec::new();
    for _ in 0..=members {
        let gate = process(folder, limits.clone());
        drop(gate.enter().await.unwrap());
        gates.push(gate);
    }
    until(|| gates[0].leads()).await;
    gates
}

#[tokio::test]
async fn a_seat_has_one_holder_and_records_its_members_for_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let files = SeatFiles::of(folder.path(), HOST);
    let mut seat = files.take().unwrap().unwrap();
    assert!(files.take().unwrap().is_none());
    assert!(SeatFiles::of(folder.path(), "another.example").take().unwrap().is_some());
    seat.set_members(12).unwrap();
    seat.set_members(7).unwrap();
    drop(seat);
    let seat = files.take().unwrap().unwrap();
    assert_eq!(seat.members_before, 7);
    drop(seat);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files are left that nobody needs");
    assert_eq!(files.take().unwrap().unwrap().members_before, 0);
}

#[tokio::test]
async fn a_seat_is_taken_from_one_who_is_silent_once_only() {
    let folder = tempfile::tempdir().unwrap();
    let files = SeatFiles::of(folder.path(), HOST);
    let mut silent = files.take().unwrap().unwrap();
    silent.set_members(2).unwrap();
    let lock = files.lock_file();
    files.vacate(lock);
    assert!(!silent.is_held());
    let next = files.take().unwrap().unwrap();
    assert_eq!(next.members_before, 2);
    // Another member finds the same silence later.
    files.vacate(lock);
    drop(silent);
    assert!(next.is_held() && files.take().unwrap().is_none());
    assert!(files.connect().await.is_ok());
}

#[test]
fn a_runtime_folder_is_of_its_user_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = runtime_folder(parent.path()).unwrap();
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(runtime_folder(parent.path()).unwrap(), folder);
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o770)).unwrap();
    let error = runtime_folder(parent.path()).unwrap_err();
    assert!(error.to_string().contains("0700"), "{error}");
    std::fs::remove_dir(&folder).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), &folder).unwrap();
    assert!(runtime_folder(parent.path()).is_err());
    assert!(runtime_folder(&parent.path().join("missing")).is_err());
}

#[tokio::test]
async fn processes_share_the_places_of_one_gate_and_the_end_of_one_gives_its_places_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut gates = processes(&folder, &limits(3), 2).await;
    let (held, others) = (gates[0].enter().await.unwrap(), gates[1].enter().await.unwrap());
    let more = gates[1].enter().await.unwrap();
    let first = waits(&gates[2]);
    until(|| gates[0].waiting() == 1).await;
    let second = waits(&gates[0]);
    until(|| gates[0].waiting() == 2).await;
    assert_eq!(gates[0].status().in_flight, 3);
    assert!(!first.is_finished() && !second.is_finished());
    drop(held);
    drop(first.await.unwrap());
    let second = second.await.unwrap();
    let third = waits(&gates[2]);
    until(|| gates[0].waiting() == 1).await;
    // It dies with two requests in flight, and sends nothing more.
    drop(gates.remove(1));
    drop(third.await.unwrap());
    until(|| gates[0].status().in_flight == 1).await;
    drop((others, more, second));
}

#[tokio::test]
async fn one_who_steps_aside_or_stops_waiting_blocks_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let gates = processes(&folder, &limits(1), 1).await;
    let permit = gates[1].enter().await.unwrap();
    let impatient = waits(&gates[1]);
    until(|| gates[0].waiting() == 1).await;
    impatient.abort();
    until(|| gates[0].waiting() == 0).await;
    let aside = permit.step_aside();
    let other = gates[0].enter().await.unwrap();
    drop(aside);
    until(|| gates[0].status().in_flight == 2).await;
    drop(permit);
    drop(other);
    until(|| gates[0].status().in_flight == 0).await;
}

#[tokio::test]
async fn the_lowest_limit_holds_as_long_as_its_process_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let first = process(&folder, limits(4));
    let permits = [first.enter().await.unwrap(), first.enter().await.unwrap()];
    until(|| first.leads()).await;
    let modest = process(&folder, HostLimits { max_requests_per_second: Some(1e6), ..limits(2) });
    let waiting = waits(&modest);
    until(|| first.status().concurrency == 2 && first.waiting() == 1).await;
    assert_eq!(first.status().requests_per_second, Some(1e6));
    drop(permits);
    drop(waiting.await.unwrap());
    assert_eq!(modest.status().concurrency, 2);
    drop(modest);
    until(|| first.status().requests_per_second.is_none()).await;
}

#[tokio::test]
async fn a_refusal_to_one_process_closes_the_gate_of_all_also_when_the_coordinator_has_died() {
    let folder = tempfile::tempdir().unwrap();
    let gates = processes(&folder, &limits(4), 2).await;
    let permit = gates[1].enter().await.unwrap();
    permit.observe(Observation::Refused { retry_after: Some(Duration::from_secs(600)), about_name: false });
    drop(permit);
    for gate in &gates {
        until(|| gate.status().closed_for.is_some()).await;
    }
    let waiting = [waits(&gates[1]), waits(&gates[2])];
    let mut gates = gates.into_iter();
    drop(gates.next());
    let left: Vec<Gate> = gates.collect();
    until(|| left.iter().any(Gate::leads)).await;
    let leader = left.iter().find(|gate| gate.leads()).unwrap();
    until(|| leader.waiting() == 2).await;
    assert!(leader.status().closed_for.is_some_and(|closed_for| closed_for > Duration::from_secs(500)));
    // A process that connects now is told as well.
    let late = process(&folder, limits(4));
    let too_late = waits(&late);
    until(|| late.status().closed_for.is_some()).await;
    assert!(waiting.iter().chain([&too_late]).all(|task| !task.is_finished()));
}

/// Counts the requests between entering and leaving.
struct Inside<'a>(&'a AtomicU32);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_coordinators_die_one_after_the_other_never_are_more_in_flight_than_may_be() {
    const PLACES: u32 = 3;
    let folder = tempfile::tempdir().unwrap();
    let (inside, most, total) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let start = |gate: Gate| -> Vec<AbortOnDropHandle<()>> {
        let caller = |_| {
            let (gate, inside, most, total) = (gate.clone(), inside.clone(), most.clone(), total.clone());
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    let permit = gate.enter().await.unwrap();
                    let now_inside = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    let inside = Inside(&inside);
                    most.fetch_max(now_inside, Ordering::SeqCst);
                    for _ in 0..fastrand::u32(0..20) {
                        tokio::task::yield_now().await;
                    }
                    total.fetch_add(1, Ordering::SeqCst);
                    permit.observe(Observation::Good { latency: Duration::from_millis(1) });
                    drop(inside);
                    drop(permit);
                }
            }))
        };
        (0..5).map(caller).collect()
    };
    let mut processes: Vec<(Gate, Vec<_>)> = Vec::new();
    for _ in 0..4 {
        let gate = process(&folder, limits(PLACES));
        processes.push((gate.clone(), start(gate)));
    }
    for left in [3, 2, 1] {
        let target = total.load(Ordering::SeqCst) + 300;
        until(|| total.load(Ordering::SeqCst) >= target && processes.iter().any(|(gate, _)| gate.leads())).await;
        let leader = processes.iter().position(|(gate, _)| gate.leads()).unwrap();
        drop(processes.remove(leader));
        assert_eq!(processes.len(), left);
    }
    let target = total.load(Ordering::SeqCst) + 300;
    until(|| total.load(Ordering::SeqCst) >= target).await;
    assert!(most.load(Ordering::SeqCst) <= PLACES, "{} at once", most.load(Ordering::SeqCst));
}

#[tokio::test]
async fn without_a_folder_that_can_be_used_a_process_asks_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let gate = in_folder(&file, limits(1));
    let permit = gate.enter().await.unwrap();
    let waiting = waits(&gate);
    drop(permit);
    drop(waiting.await.unwrap());
    assert!(gate.leads());
}

#[tokio::test]
async fn a_connection_with_an_invalid_message_is_closed_and_harms_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().unwrap();
    let gates = processes(&folder, &limits(1), 1).await;
    for words in ["\n", "{}\n", "null", r#"{"Enter":{"request":1}}"#, "\u{0}\u{1}", &"9".repeat(3 << 20)] {
        let mut other_program = SeatFiles::of(folder.path(), HOST).connect().await.unwrap();
        // It may hang up in the middle.
        let _ = other_program.write_all(words.as_bytes()).await;
        let _ = other_program.shutdown().await;
        let mut heard = Vec::new();
        let _ = other_program.read_to_end(&mut heard).await;
    }
    drop(gates[1].enter().await.unwrap());
    drop(gates[0].enter().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_and_a_member_that_fall_silent_are_found_out() {
    let (link, mut outbox) = Link::new(limits(1), NonZeroU32::MIN);
    let (here, _suspended) = tokio::io::duplex(64);
    let began = Instant::now();
    assert_eq!(link::attend(&link, &mut outbox, here).await, Ended::Silent);
    assert_eq!(began.elapsed(), SILENCE);

    let local = LocalGate::new(HOST, limits(1), NonZeroU32::MIN);
    let (greet, mut greeted) = unbounded_channel();
    let (here, mut suspended) = tokio::io::duplex(1 << 16);
    let session = tokio::spawn(serve(Arc::clone(&local), OWN + 1, 1, here, greet));
    let (link, mut outbox) = Link::new(limits(1), NonZeroU32::MIN);
    let waiting = tokio::spawn(async move { link.enter().await });
    until(|| !outbox.is_empty() && outbox.len() == 2).await;
    outbox.close();
    message::write(&mut suspended, &mut outbox).await;
    assert_eq!(greeted.recv().await, Some(false));
    until(|| local.snapshot().in_flight == 1).await;
    session.await.unwrap();
    assert_eq!((local.snapshot().in_flight, local.other_processes()), (0, 0));
    waiting.abort();
}
