//! Simulated servers: drives the gate against models of servers in stopped time, and compares responses and refusals
//! with the model's capacity.

#![allow(clippy::unwrap_used)]

mod several;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Observation;
use super::gate::Gate;
use crate::registry::config::HostLimits;

/// A model's response, sent after some time.
#[derive(Clone, Copy, PartialEq)]
enum Reply {
    Good,
    Refused(Option<u64>),
    /// A refusal of a name that was refused before, while others were not.
    RefusedName,
}

/// A model of a server. It gets each request with the seconds since the start and the number in flight with it, and
/// returns its response and the delay.
trait Model: Send + 'static {
    fn request(&mut self, at_seconds: f64, in_flight: u32) -> (Reply, Duration);
}

/// Tokens that come at a rate; a request without one is refused. Good responses take 80 ms, refusals 10 ms.
struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: f64,
    retry_after: Option<u64>,
    halves_at: f64,
}

impl Bucket {
    fn new(rate: f64, retry_after: Option<u64>) -> Self {
        Bucket { rate, burst: rate, tokens: rate, at: 0.0, retry_after, halves_at: f64::INFINITY }
    }
}

impl Model for Bucket {
    fn request(&mut self, at: f64, _in_flight: u32) -> (Reply, Duration) {
        let rate = if at >= self.halves_at { self.rate / 2.0 } else { self.rate };
        self.tokens = (self.tokens + (at - self.at) * rate).min(self.burst);
        self.at = at;
        if self.tokens < 1.0 {
            return (Reply::Refused(self.retry_after), Duration::from_millis(10));
        }
        self.tokens -= 1.0;
        (Reply::Good, Duration::from_millis(80))
    }
}

/// Serves `knee` requests at once, each in 50 ms. Beyond that all take longer, more than in proportion.
struct Degrading {
    knee: f64,
}

impl Model for Degrading {
    fn request(&mut self, _at: f64, in_flight: u32) -> (Reply, Duration) {
        let load = f64::from(in_flight) / self.knee;
        (Reply::Good, Duration::from_millis(50).mul_f64(load.max(1.0).powf(1.5)))
    }
}

/// Half of the responses come from a cache at once, the others take long. For the first names all take long, then few,
/// whatever the load.
struct BehindCache {
    turn: u32,
}

impl Model for BehindCache {
    fn request(&mut self, at: f64, _in_flight: u32) -> (Reply, Duration) {
        self.turn = self.turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let cached_of_sixteen = if at < 20.0 { 15 } else { 4 };
        let cached = (self.turn >> 28) < cached_of_sixteen;
        (Reply::Good, Duration::from_millis(if cached { 20 } else { 250 }))
    }
}

/// Refuses all for a minute once more than `rate` came in a second; also from the start, if it begins so.
struct Banning {
    rate: u32,
    second: u64,
    count: u32,
    banned_until: f64,
}

impl Model for Banning {
    fn request(&mut self, at: f64, _in_flight: u32) -> (Reply, Duration) {
        if at < self.banned_until {
            return (Reply::Refused(Some(0)), Duration::from_millis(10));
        }
        if at as u64 != self.second {
            (self.second, self.count) = (at as u64, 0);
        }
        self.count += 1;
        if self.count > self.rate {
            self.banned_until = at + 60.0;
            return (Reply::Refused(Some(0)), Duration::from_millis(10));
        }
        (Reply::Good, Duration::from_millis(80))
    }
}

/// Serves this many requests at once, each in 100 ms, and refuses the others.
struct Slots {
    slots: u32,
}

impl Model for Slots {
    fn request(&mut self, _at: f64, in_flight: u32) -> (Reply, Duration) {
        if in_flight > self.slots {
            return (Reply::Refused(None), Duration::from_millis(5));
        }
        (Reply::Good, Duration::from_millis(100))
    }
}

/// Refuses a share of all requests, whatever the rate.
struct Whimsical {
    refused_share: f64,
    random: fastrand::Rng,
}

impl Model for Whimsical {
    fn request(&mut self, _at: f64, _in_flight: u32) -> (Reply, Duration) {
        if self.random.f64() < self.refused_share {
            return (Reply::Refused(Some(0)), Duration::from_millis(10));
        }
        (Reply::Good, Duration::from_millis(80))
    }
}

/// Refuses one request at each of some instants, as for one name that is requested again and again.
struct Grudging {
    refused_at_seconds: Vec<f64>,
    refusals: usize,
}

impl Model for Grudging {
    fn request(&mut self, at: f64, _in_flight: u32) -> (Reply, Duration) {
        if self.refused_at_seconds.get(self.refusals).is_none_or(|&due| due > at) {
            return (Reply::Good, Duration::from_millis(80));
        }
        self.refusals += 1;
        (if self.refusals > 2 { Reply::RefusedName } else { Reply::Refused(None) }, Duration::from_millis(10))
    }
}

/// When each response came, in seconds, and whether it was good.
struct Run {
    answers: Vec<(f64, bool)>,
    /// The most requests that the model saw at once in the second half.
    most_in_flight: u32,
    /// Good responses of each gate.
    good_by_gate: Vec<u32>,
}

impl Run {
    fn count(&self, from: f64, to: f64, good: bool) -> f64 {
        self.answers.iter().filter(|answer| answer.0 >= from && answer.0 < to && answer.1 == good).count() as f64
    }

    fn rate(&self, from: f64, to: f64) -> f64 {
        self.count(from, to, true) / (to - from)
    }

    fn refused_share(&self, from: f64, to: f64) -> f64 {
        let refused = self.count(from, to, false);
        refused / (refused + self.count(from, to, true)).max(1.0)
    }
}

struct World<M> {
    model: M,
    in_flight: u32,
    run: Run,
}

/// Keeps 100 callers at one gate for this many seconds.
async fn simulate(limits: HostLimits, model: impl Model, seconds: u64) -> Run {
    let gate = Gate::new("model".to_owned(), limits, NonZeroU32::MIN, None);
    simulate_gates(&[gate], model, seconds).await
}

/// Keeps 100 callers for this many seconds at several gates of one server.
async fn simulate_gates(gates: &[Gate], model: impl Model, seconds: u64) -> Run {
    fastrand::seed(7);
    let run = Run { answers: Vec::new(), most_in_flight: 0, good_by_gate: vec![0; gates.len()] };
    let world = Arc::new(Mutex::new(World { model, in_flight: 0, run }));
    let start = Instant::now();
    let callers = (0..100).map(|caller| {
        let number = caller % gates.len();
        let (gate, world) = (gates[number].clone(), world.clone());
        tokio::spawn(async move {
            loop {
                let Ok(permit) = gate.enter().await else { return };
                let sent_at = Instant::now();
                let (reply, time) = {
                    let mut world = world.lock().unwrap();
                    world.in_flight += 1;
                    let (at, in_flight) = (start.elapsed().as_secs_f64(), world.in_flight);
                    if at > seconds as f64 / 2.0 {
                        world.run.most_in_flight = world.run.most_in_flight.max(in_flight);
                    }
                    world.model.request(at, in_flight)
                };
                sleep(time).await;
                permit.observe(match reply {
                    Reply::Good => Observation::Good { latency: sent_at.elapsed() },
                    Reply::Refused(seconds) => {
                        Observation::Refused { retry_after: seconds.map(Duration::from_secs), about_name: false }
                    }
                    Reply::RefusedName => Observation::Refused { retry_after: None, about_name: true },
                });
                let mut world = world.lock().unwrap();
                world.in_flight -= 1;
                world.run.answers.push((start.elapsed().as_secs_f64(), reply == Reply::Good));
                world.run.good_by_gate[number] += u32::from(reply == Reply::Good);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    sleep(Duration::from_secs(seconds)).await;
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    let mut world = world.lock().unwrap();
    std::mem::replace(&mut world.run, Run { answers: Vec::new(), most_in_flight: 0, good_by_gate: Vec::new() })
}

/// Returns the limits of a public host without the ceiling of the rate, which would hide the controller's findings.
fn unbounded() -> HostLimits {
    HostLimits { max_requests_per_second: None, ..HostLimits::registry() }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_allows_a_rate_is_used_to_nine_tenths_within_a_minute() {
    for (rate, retry_after) in [(100.0, Some(1)), (20.0, None), (150.0, Some(0)), (5.0, Some(2))] {
        let run = simulate(unbounded(), Bucket::new(rate, retry_after), 240).await;
        let (reached, refused) = (run.rate(60.0, 240.0) / rate, run.refused_share(60.0, 240.0));
        assert!((0.9..=1.01).contains(&reached), "{rate}/s: reached {reached}");
        assert!(refused < 0.01, "{rate}/s: {refused} were refused");
        assert!(run.rate(40.0, 60.0) / rate >= 0.9, "{rate}/s: {} in the first minute", run.rate(40.0, 60.0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_ceiling_of_the_rate_is_reached_and_kept() {
    let run = simulate(HostLimits::registry(), Bucket::new(1000.0, None), 30).await;
    assert!((195.0..=201.0).contains(&run.rate(2.0, 30.0)), "{}", run.rate(2.0, 30.0));
    assert_eq!(run.refused_share(0.0, 30.0), 0.0);
}

#[tokio::test(start_paused = true)]
async fn download_counts_are_requested_at_the_rate_that_the_host_allows() {
    // One in two seconds is let through after the first 44.
    let model = Bucket { burst: 44.0, tokens: 44.0, ..Bucket::new(0.5, Some(0)) };
    let run = simulate(HostLimits::downloads(), model, 6 * 3600).await;
    assert!((0.95..=1.0).contains(&run.rate(2.0, 40.0)), "{}", run.rate(2.0, 40.0));
    assert!(run.rate(600.0, 21_600.0) >= 0.9 * 0.5, "{}", run.rate(600.0, 21_600.0));
    assert!(run.refused_share(600.0, 21_600.0) < 0.01, "{}", run.refused_share(600.0, 21_600.0));
}

#[tokio::test(start_paused = true)]
async fn a_raised_ceiling_is_approached_from_one_request_a_second() {
    let limits = HostLimits { max_requests_per_second: Some(5.0), ..HostLimits::downloads() };
    let run = simulate(limits, Bucket::new(1e9, None), 3600).await;
    assert!((0.95..=1.2).contains(&run.rate(0.0, 300.0)), "{}", run.rate(0.0, 300.0));
    assert!((4.9..=5.01).contains(&run.rate(1800.0, 3600.0)), "{}", run.rate(1800.0, 3600.0));
}

#[tokio::test(start_paused = true)]
async fn full_speed_is_reached_in_a_second() {
    let run = simulate(unbounded(), Bucket::new(1e9, None), 3).await;
    // 64 at once, 80 ms each.
    assert!(run.rate(1.0, 3.0) > 750.0, "{}", run.rate(1.0, 3.0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_degrades_with_load_is_kept_near_its_knee() {
    let run = simulate(unbounded(), Degrading { knee: 16.0 }, 120).await;
    // 16 at once in 50 ms are 320 a second; at 64 at once the model gives 160.
    assert!((0.7 * 320.0..=320.0).contains(&run.rate(60.0, 120.0)), "{}", run.rate(60.0, 120.0));
    assert_eq!(run.count(0.0, 120.0, false), 0.0);
    assert!(run.most_in_flight <= 40, "{}", run.most_in_flight);
}

#[tokio::test(start_paused = true)]
async fn slowness_that_is_not_ours_does_not_slow_us() {
    let run = simulate(unbounded(), BehindCache { turn: 1 }, 120).await;
    // 64 at once; in the mean 34 ms, then 192 ms.
    assert!(run.rate(2.0, 20.0) > 0.8 * 64.0 / 0.034, "{}", run.rate(2.0, 20.0));
    assert!(run.rate(30.0, 120.0) > 0.8 * 64.0 / 0.192, "{}", run.rate(30.0, 120.0));
}

#[tokio::test(start_paused = true)]
async fn a_ban_of_a_minute_is_waited_out_and_rarely_provoked() {
    // A ban from the start.
    let banned = Banning { rate: 1_000_000, second: 0, count: 0, banned_until: 60.0 };
    let run = simulate(unbounded(), banned, 180).await;
    assert!(run.count(0.0, 60.0, false) <= 12.0, "{} asked while banned", run.count(0.0, 60.0, false));
    assert!(run.rate(135.0, 180.0) > 600.0, "{}", run.rate(135.0, 180.0));
    // A ban that the rate provokes.
    let run = simulate(unbounded(), Banning { rate: 50, second: 0, count: 0, banned_until: 0.0 }, 1800).await;
    let (reached, refused) = (run.rate(600.0, 1800.0) / 50.0, run.refused_share(600.0, 1800.0));
    assert!((0.75..=1.0).contains(&reached), "reached {reached}");
    assert!(refused < 0.005, "{refused} were refused");
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_capacity_halves_is_followed() {
    let run = simulate(unbounded(), Bucket { halves_at: 120.0, ..Bucket::new(100.0, Some(1)) }, 300).await;
    assert!(run.rate(60.0, 120.0) >= 90.0, "{}", run.rate(60.0, 120.0));
    assert!((40.0..=51.0).contains(&run.rate(125.0, 150.0)), "{}", run.rate(125.0, 150.0));
    assert!(run.refused_share(120.0, 150.0) < 0.03, "{}", run.refused_share(120.0, 150.0));
    assert!((45.0..=51.0).contains(&run.rate(150.0, 300.0)), "{}", run.rate(150.0, 300.0));
    assert!(run.refused_share(150.0, 300.0) < 0.01, "{}", run.refused_share(150.0, 300.0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_by_slots_is_used_to_nine_tenths() {
    let run = simulate(unbounded(), Slots { slots: 10 }, 300).await;
    assert!(run.rate(60.0, 300.0) >= 85.0, "{}", run.rate(60.0, 300.0));
    assert!(run.refused_share(60.0, 300.0) < 0.01, "{}", run.refused_share(60.0, 300.0));
}

#[tokio::test(start_paused = true)]
async fn refusals_that_do_not_hang_on_the_pace_do_not_bring_it_down() {
    // Each closes the gate for a second and more: at most 160 and 90 of 200 a second are left.
    for (refused_share, least) in [(0.001, 110.0), (0.005, 15.0)] {
        for seed in 0..4 {
            let model = Whimsical { refused_share, random: fastrand::Rng::with_seed(seed) };
            let run = simulate(HostLimits::registry(), model, 900).await;
            let reached = run.rate(300.0, 900.0);
            assert!((least..180.0).contains(&reached), "{refused_share}, seed {seed}: {reached}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_refused_again_and_again_slows_the_others_for_moments_only() {
    let refused_at_seconds = vec![60.0, 61.5, 63.0, 65.0, 68.0, 72.0, 78.0, 90.0, 110.0, 130.0, 155.0, 180.0];
    let run = simulate(HostLimits::registry(), Grudging { refused_at_seconds, refusals: 0 }, 240).await;
    assert_eq!(run.count(0.0, 240.0, false), 12.0);
    assert!(run.rate(60.0, 180.0) >= 110.0, "{}", run.rate(60.0, 180.0));
    assert!(run.rate(185.0, 240.0) >= 190.0, "{}", run.rate(185.0, 240.0));
}

#[tokio::test(start_paused = true)]
async fn a_server_on_this_machine_may_be_a_slow_one_or_have_a_bad_day() {
    for rate in [400.0, 80.0, 30.0] {
        let run = simulate(HostLimits::loopback(), Bucket::new(rate, Some(0)), 240).await;
        let (reached, refused) = (run.rate(60.0, 240.0) / rate, run.refused_share(60.0, 240.0));
        assert!((0.8..=1.01).contains(&reached), "{rate}/s: reached {reached}");
        assert!(refused < 0.01, "{rate}/s: {refused} were refused");
    }
    for seed in 0..4 {
        let model = Whimsical { refused_share: 0.1, random: fastrand::Rng::with_seed(seed) };
        let run = simulate(HostLimits::loopback(), model, 120).await;
        assert!(run.rate(10.0, 120.0) >= 15.0, "seed {seed}: {}", run.rate(10.0, 120.0));
    }
}
