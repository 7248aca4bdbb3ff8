//! How long refusals are waited out, and when a host is given up.

use super::super::closing::LONGEST_NAMED;
use super::*;

#[test]
fn a_named_time_beyond_patience_gives_the_host_up_at_once_and_says_how_long() {
    let start = Instant::now();
    for (asked, waited) in [(SECOND * 3601, Duration::ZERO), (SECOND * 1800, SECOND * 1900), (Duration::MAX, SECOND)] {
        let mut controller = Controller::new(limits());
        controller.observe(start, start, refused(1), 0.0);
        let now = start + waited;
        controller.observe(now, now, Observation::Refused { retry_after: Some(asked), about_name: false }, 1.0);
        let named = Some(asked.min(LONGEST_NAMED));
        assert_eq!(controller.admit(now), Admission::GivenUp(GivenUp { refused: true, named }), "{asked:?}");
        let later = SECOND * 60;
        let named = named.map(|named| named - later);
        assert_eq!(controller.admit(now + later), Admission::GivenUp(GivenUp { refused: true, named }));
    }
    // One name that is refused for long is no reason to end.
    let mut controller = Controller::new(limits());
    controller.observe(start, start, Observation::Refused { retry_after: Some(SECOND * 7200), about_name: true }, 0.0);
    assert_eq!(controller.admit(start), Admission::At(start + SECOND * 900));
}

/// Sends a request whenever the gate opens until it is given up. Returns when each one left.
fn tries(limits: HostLimits, observation: Observation) -> Vec<Duration> {
    let start = Instant::now();
    let (mut controller, mut now, mut left) = (Controller::new(limits), start, Vec::new());
    loop {
        match controller.admit(now) {
            Admission::Go { probe } => {
                left.push(now - start);
                controller.observe(now, now, observation, 0.0);
                controller.leave(probe);
            }
            Admission::At(instant) => now = instant,
            Admission::GivenUp(_) => return left,
            Admission::WhenReleased => panic!("nothing is in flight"),
        }
    }
}

#[test]
fn a_server_that_names_a_time_is_believed_and_doubts_grow_slowly() {
    for limits in [HostLimits::registry(), HostLimits::loopback()] {
        let left = tries(limits, refused(3));
        let waits: Vec<Duration> = left.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits[..10].iter().all(|wait| *wait == SECOND * 3), "{waits:?}");
        assert!(waits.windows(2).all(|pair| pair[1] >= pair[0] || pair[1] >= SECOND * 3), "{waits:?}");
        // The request after twenty refusals leaves within two minutes, and the last one when patience ends.
        assert!(left[20] < SECOND * 120, "{:?}", left[20]);
        assert_eq!(left.last(), Some(&(SECOND * 3600)));
        assert!((90..130).contains(&left.len()), "{}", left.len());
    }
}

#[test]
fn refusals_without_a_time_are_waited_out_until_patience_ends() {
    let left = tries(HostLimits { patience: SECOND * 100, ..limits() }, refused(0));
    let seconds: Vec<u64> = left.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31, 63, 100]);
    assert_eq!(tries(HostLimits { patience: Duration::ZERO, ..limits() }, refused(3)).len(), 1);
    // A named time as long as patience does not begin it again and again.
    let left = tries(HostLimits { patience: SECOND * 100, ..limits() }, refused(100));
    assert_eq!(left, [Duration::ZERO, SECOND * 100]);
}

#[test]
fn a_host_that_fails_again_and_again_is_asked_by_one_request_after_longer_and_longer_pauses() {
    let left = tries(HostLimits { patience: SECOND * 100, ..limits() }, Observation::Down);
    let seconds: Vec<u64> = left.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 7, 15, 31, 63, 100]);
    let start = Instant::now();
    let mut controller = Controller::new(limits());
    for turn in 0..100 {
        let now = start + SECOND * turn;
        let observation = if turn % 8 == 7 { good() } else { Observation::Down };
        assert!(admitted(&mut controller, now));
        controller.observe(now, now, observation, 0.0);
        controller.leave(false);
        assert_eq!(controller.closed_for(now), None, "a good response comes in between");
    }
}
