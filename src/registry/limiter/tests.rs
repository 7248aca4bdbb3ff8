#![allow(clippy::unwrap_used)]

mod patience;

use std::time::Duration;

use tokio::time::Instant as TokioInstant;

use super::gate::Gate;
use super::handover::Snapshot;
use super::*;

fn limits() -> HostLimits {
    HostLimits { max_requests_per_second: None, ..HostLimits::registry() }
}

const SECOND: Duration = Duration::from_secs(1);

fn alone(limits: HostLimits) -> Gate {
    Gate::new("model".to_owned(), limits, NonZeroU32::MIN, None)
}

fn refused(seconds: u64) -> Observation {
    Observation::Refused { retry_after: Some(Duration::from_secs(seconds)), about_name: false }
}

fn good() -> Observation {
    Observation::Good { latency: Duration::from_millis(10) }
}

fn admitted(controller: &mut Controller, now: Instant) -> bool {
    match controller.admit(now) {
        Admission::Go { .. } => true,
        Admission::At(_) | Admission::WhenReleased | Admission::GivenUp(_) => false,
    }
}

#[test]
fn retry_after_has_a_floor() {
    for (asked, least, most) in [(0, 1, 1), (7, 7, 8), (1800, 1800, 2250)] {
        for jitter in [0.0, 1.0] {
            let start = Instant::now();
            let mut controller = Controller::new(limits());
            assert!(admitted(&mut controller, start));
            controller.observe(start, start, refused(asked), jitter);
            let closed = controller.closed_for(start).unwrap();
            assert!((SECOND * least..=SECOND * most + SECOND).contains(&closed), "{asked}: {closed:?}");
        }
    }
}

#[test]
fn the_release_is_jittered() {
    let closed = |jitter| {
        let start = Instant::now();
        let mut controller = Controller::new(limits());
        controller.observe(start, start, refused(100), jitter);
        controller.closed_for(start).unwrap()
    };
    assert_eq!((closed(0.0), closed(1.0)), (SECOND * 100, SECOND * 125));
}

#[test]
fn a_closed_gate_admits_nobody_and_then_a_single_probe() {
    let start = Instant::now();
    let mut controller = Controller::new(limits());
    assert!(admitted(&mut controller, start));
    controller.observe(start, start, refused(10), 0.0);
    controller.leave(false);
    for seconds in 0..10 {
        assert_eq!(controller.admit(start + SECOND * seconds), Admission::At(start + SECOND * 10));
    }
    let open = start + SECOND * 10;
    assert_eq!(controller.admit(open), Admission::Go { probe: true });
    assert_eq!(controller.admit(open), Admission::WhenReleased);
    // Refused again: closed for twice the floor at least, though the server says 0.
    controller.observe(open, open, refused(0), 0.0);
    controller.leave(true);
    assert_eq!(controller.closed_for(open), Some(SECOND * 2));
    let open = open + SECOND * 2;
    assert_eq!(controller.admit(open), Admission::Go { probe: true });
    controller.observe(open, open, good(), 0.0);
    controller.leave(true);
    assert_eq!(controller.admit(open + SECOND), Admission::Go { probe: false });
}

#[test]
fn a_probe_that_is_cancelled_leaves_its_place_to_another() {
    let start = Instant::now();
    let mut controller = Controller::new(limits());
    controller.observe(start, start, refused(1), 0.0);
    assert_eq!(controller.admit(start + SECOND), Admission::Go { probe: true });
    controller.leave(true);
    assert_eq!(controller.admit(start + SECOND), Admission::Go { probe: true });
}

#[test]
fn refusals_of_what_was_in_flight_together_count_once() {
    let start = Instant::now();
    let mut controller = Controller::new(limits());
    for _ in 0..4 {
        assert!(admitted(&mut controller, start));
    }
    for later in 1..=4 {
        controller.observe(start, start + Duration::from_millis(later), refused(0), 0.0);
    }
    let closed = controller.closed_for(start + Duration::from_millis(4)).unwrap();
    assert_eq!(closed, SECOND);
}

#[test]
fn good_answers_to_what_left_before_do_not_open_a_closed_gate() {
    let start = Instant::now();
    let mut controller = Controller::new(limits());
    assert!(admitted(&mut controller, start) && admitted(&mut controller, start));
    let later = start + Duration::from_millis(1);
    controller.observe(start, later, refused(5), 0.0);
    controller.observe(start, later, good(), 0.0);
    assert!(!admitted(&mut controller, later + SECOND));
}

#[test]
fn a_host_that_only_refuses_is_given_up_when_patience_ends() {
    let start = Instant::now();
    let mut controller = Controller::new(HostLimits { patience: SECOND * 60, ..limits() });
    let mut now = start;
    let gave_up_after = loop {
        match controller.admit(now) {
            Admission::Go { probe } => {
                controller.observe(now, now, refused(0), 0.0);
                controller.leave(probe);
            }
            Admission::At(instant) => now = instant,
            Admission::GivenUp(given_up) => {
                assert_eq!(given_up, GivenUp { refused: true, named: None });
                break now - start;
            }
            Admission::WhenReleased => panic!("nothing is in flight"),
        }
    };
    assert_eq!(gave_up_after, SECOND * 60);
    // Later it may be asked again, by one.
    let much_later = now + SECOND * 3600;
    assert_eq!(controller.admit(much_later), Admission::Go { probe: true });
    controller.observe(much_later, much_later, good(), 0.0);
    controller.leave(true);
    assert_eq!(controller.admit(much_later + SECOND), Admission::Go { probe: false });
}

#[test]
fn faults_now_and_then_slow_nothing_and_many_do() {
    let answer = |share: u32| {
        let start = Instant::now();
        let mut controller = Controller::new(limits());
        for turn in 0..2000_u32 {
            let now = start + Duration::from_millis(turn.into());
            while admitted(&mut controller, now) {}
            let observation = if turn % 100 < share { Observation::Overloaded } else { good() };
            controller.observe(now, now, observation, 0.0);
            controller.leave(false);
        }
        controller.allowed()
    };
    assert_eq!(answer(3), 64);
    assert!(answer(30) <= 16, "{}", answer(30));
    assert!(answer(30) >= 4);
}

#[test]
fn concurrency_that_is_not_used_does_not_grow() {
    let mut now = Instant::now();
    let mut controller = Controller::new(limits());
    for _ in 0..1000 {
        now += Duration::from_millis(20);
        assert!(admitted(&mut controller, now));
        controller.observe(now, now, good(), 0.0);
        controller.leave(false);
    }
    assert_eq!(controller.allowed(), 4);
}

#[tokio::test(start_paused = true)]
async fn while_the_gate_is_closed_not_one_request_leaves() {
    let gate = alone(limits());
    let first = gate.enter().await.unwrap();
    let others: Vec<_> = (0..50)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move {
                let permit = gate.enter().await.unwrap();
                permit.observe(good());
                TokioInstant::now()
            })
        })
        .collect();
    let refused_at = TokioInstant::now();
    first.observe(refused(30));
    drop(first);
    for other in others {
        let left_after = other.await.unwrap() - refused_at;
        assert!((SECOND * 30..SECOND * 45).contains(&left_after), "{left_after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_holds_back_one_who_waits_for_his_turn() {
    // One request a second: the second waits for its turn when the first is refused.
    let gate = alone(HostLimits { max_requests_per_second: Some(1.0), ..limits() });
    let first = gate.enter().await.unwrap();
    let start = TokioInstant::now();
    let second = tokio::spawn({
        let gate = gate.clone();
        async move { gate.enter().await.map(|_permit| TokioInstant::now()).unwrap() }
    });
    tokio::time::sleep(SECOND / 2).await;
    first.observe(refused(60));
    drop(first);
    assert!(second.await.unwrap() - start >= SECOND * 60);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stops_waiting_blocks_no_other() {
    let gate = alone(HostLimits { max_concurrency: 1, ..limits() });
    let held = gate.enter().await.unwrap();
    let impatient = tokio::time::timeout(SECOND, gate.enter()).await;
    assert!(impatient.is_err());
    drop(held);
    let permit = tokio::time::timeout(SECOND, gate.enter()).await.unwrap();
    assert!(permit.is_ok());
    assert_eq!(gate.status().in_flight, 1);
    drop(permit);
    assert_eq!(gate.status().in_flight, 0);
}

#[test]
fn a_successor_allows_no_more_than_the_controller_before_it() {
    let start = Instant::now();
    let mut before = Controller::new(limits());
    before.concurrency = 20.0;
    for turn in 0..200 {
        let now = start + Duration::from_millis(20) * turn;
        assert!(admitted(&mut before, now));
        before.observe(now, now, good(), 0.0);
        before.leave(false);
    }
    let now = start + SECOND * 4;
    for _ in 0..10 {
        assert!(admitted(&mut before, now));
    }
    before.observe(now, now, refused(10), 0.0);
    assert_eq!(before.allowed(), 8);
    let later = now + SECOND * 3;
    let told = before.snapshot(later, 0);
    let mut successor = Controller::new(limits());
    successor.inherit(later, &told);
    assert_eq!(successor.closed_for(later), Some(SECOND * 7));
    assert_eq!(successor.allowed(), before.allowed());
    let (rate, rate_before) = (successor.rate(later).unwrap(), before.rate(later).unwrap());
    assert!(rate <= rate_before && rate > rate_before / 2.0, "{rate} {rate_before}");
    assert_eq!(successor.admit(later + SECOND * 7), Admission::Go { probe: true });
    assert_eq!(successor.admit(later + SECOND * 7), Admission::WhenReleased);
    // The state sent to another member counts too, where it allows less.
    let less = Snapshot { concurrency: 2.0, ..told.clone() };
    successor.inherit(later, &less);
    successor.inherit(later, &told);
    assert_eq!(successor.allowed(), 2);
}

#[test]
fn a_successor_does_not_send_at_once_what_the_one_before_may_just_have_sent() {
    let start = Instant::now();
    let slow = HostLimits { max_requests_per_second: Some(0.5), ..limits() };
    let mut successor = Controller::new(slow.clone());
    successor.inherit(start, &Controller::new(slow).snapshot(start, 0));
    assert!(matches!(successor.admit(start), Admission::At(instant) if instant > start + SECOND));
}

#[test]
fn patience_does_not_begin_again_with_another_controller() {
    let start = Instant::now();
    let patient = HostLimits { patience: SECOND * 60, ..limits() };
    let mut before = Controller::new(patient.clone());
    before.observe(start, start, refused(0), 0.0);
    let mut successor = Controller::new(patient);
    let later = start + SECOND * 50;
    successor.inherit(later, &before.snapshot(later, 0));
    let later = later + SECOND * 11;
    successor.observe(later, later, refused(0), 0.0);
    assert_eq!(successor.admit(later), Admission::GivenUp(GivenUp { refused: true, named: None }));
}

#[test]
fn numbers_from_another_process_may_be_any() {
    let start = Instant::now();
    let told = r#"{"in_flight": 4294967295, "waiting": 0, "concurrency": -1e308, "requests_per_second": null,
        "learned_per_second": 1e-308, "closed_for": {"secs": 18446744073709551615, "nanos": 0}, "is_probing": true,
        "closings_in_a_row": 4294967295, "trouble": [{"secs": 18446744073709551615, "nanos": 0}, true]}"#;
    let told: Snapshot = serde_json::from_str(told).unwrap();
    let mut controller = Controller::new(limits());
    controller.inherit(start, &told.aged(SECOND));
    assert_eq!(controller.allowed(), 1);
    controller.observe(start, start, refused(0), 1.0);
    assert!(controller.closed_for(start).is_some_and(|closed| closed <= SECOND * 3600 * 2));
}

#[test]
fn a_share_bounds_concurrency_and_rate_and_takes_from_what_was_learned() {
    let share = |share: u32| NonZeroU32::new(share).unwrap();
    let start = Instant::now();
    let mut controller = Controller::new(HostLimits::registry());
    controller.concurrency = 60.0;
    assert!(admitted(&mut controller, start));
    controller.observe(start, start, good(), 0.0);
    controller.observe(start, start, refused(0), 0.0);
    let learned = controller.pace.as_ref().unwrap().at(start);
    controller.concurrency = 60.0;
    controller.set_limits(&HostLimits::registry(), share(4));
    assert_eq!(controller.allowed(), 15);
    assert!((controller.pace.as_ref().unwrap().at(start) - learned / 4.0).abs() < 1e-9);
    assert!(controller.rate(start + SECOND * 3600).is_some_and(|rate| (rate - 50.0).abs() < 1e-9));
    // Alone again: no more at once, but as much as before in time.
    controller.set_limits(&HostLimits::registry(), share(1));
    assert_eq!(controller.allowed(), 15);
    assert!((controller.pace.as_ref().unwrap().at(start) - learned / 4.0).abs() < 1e-9);
    assert!(controller.rate(start + SECOND * 3600).is_some_and(|rate| (rate - 200.0).abs() < 1e-9));
    // More machines than there are places: each has one.
    controller.set_limits(&HostLimits::registry(), share(1000));
    assert_eq!(controller.allowed(), 1);
}
