//! Several processes, and several machines, before one server.

use super::*;

fn share(machines: u32) -> NonZeroU32 {
    NonZeroU32::new(machines).unwrap()
}

/// Returns the gates of this many machines, each with its share.
fn machines(count: u32, limits: &HostLimits) -> Vec<Gate> {
    (0..count).map(|_| Gate::new("model".to_owned(), limits.clone(), share(count), None)).collect()
}

/// Returns the gates of this many processes of one machine. The first is the coordinator.
#[cfg(unix)]
fn processes(count: usize, limits: &HostLimits) -> Vec<Gate> {
    let first = Gate::new("model".to_owned(), limits.clone(), share(1), None);
    let others = (1..count).map(|_| first.of_another_process(limits.clone()));
    others.collect::<Vec<_>>().into_iter().chain([first]).collect()
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn three_processes_are_to_a_server_as_one() {
    let (mut reached, mut refused) = (Vec::new(), Vec::new());
    for count in [1, 3] {
        let gates = processes(count, &unbounded());
        let run = simulate_gates(&gates, Bucket::new(100.0, Some(1)), 240).await;
        reached.push(run.rate(60.0, 240.0));
        refused.push(run.count(0.0, 240.0, false));
        for good in &run.good_by_gate {
            let part = f64::from(*good) / f64::from(run.good_by_gate.iter().sum::<u32>()) * count as f64;
            assert!((0.8..=1.2).contains(&part), "not each has its part: {:?}", run.good_by_gate);
        }
    }
    assert!((90.0..=101.0).contains(&reached[1]), "{reached:?}");
    assert!(refused[1] <= refused[0] * 1.5 + 5.0, "{refused:?}");
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn three_processes_keep_the_ceilings_of_one() {
    let run = simulate_gates(&processes(3, &HostLimits::registry()), Bucket::new(1000.0, None), 30).await;
    assert!((195.0..=201.0).contains(&run.rate(2.0, 30.0)), "{}", run.rate(2.0, 30.0));
    assert_eq!(run.refused_share(0.0, 30.0), 0.0);
    let run = simulate_gates(&processes(3, &HostLimits::loopback()), Bucket::new(1e9, None), 10).await;
    assert_eq!(run.most_in_flight, 64);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn the_lowest_limits_of_all_processes_hold() {
    let slow = HostLimits { max_requests_per_second: Some(5.0), ..HostLimits::registry() };
    for slow_one_leads in [true, false] {
        let (own, others) = match slow_one_leads {
            true => (slow.clone(), HostLimits::registry()),
            false => (HostLimits::registry(), slow.clone()),
        };
        let first = Gate::new("model".to_owned(), own, share(1), None);
        let second = first.of_another_process(others);
        let run = simulate_gates(&[first, second], Bucket::new(1000.0, None), 60).await;
        assert!((4.5..=5.1).contains(&run.rate(2.0, 60.0)), "{slow_one_leads}: {}", run.rate(2.0, 60.0));
    }
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn the_share_of_a_member_holds_for_its_machine() {
    let gates = processes(2, &HostLimits::registry());
    gates[0].set_share(share(4));
    let run = simulate_gates(&gates, Bucket::new(1000.0, None), 30).await;
    assert!((45.0..=51.0).contains(&run.rate(2.0, 30.0)), "{}", run.rate(2.0, 30.0));
}

#[tokio::test(start_paused = true)]
async fn machines_with_a_share_each_keep_the_ceilings_of_one() {
    for count in [2, 5] {
        let run = simulate_gates(&machines(count, &HostLimits::registry()), Bucket::new(1000.0, None), 30).await;
        assert!((180.0..=201.0).contains(&run.rate(2.0, 30.0)), "{count}: {}", run.rate(2.0, 30.0));
        assert_eq!(run.refused_share(0.0, 30.0), 0.0);
        let run = simulate_gates(&machines(count, &HostLimits::loopback()), Bucket::new(1e9, None), 10).await;
        assert!((60..=64).contains(&run.most_in_flight), "{count}: {}", run.most_in_flight);
    }
}

#[tokio::test(start_paused = true)]
async fn two_machines_with_a_share_each_find_what_a_server_bears() {
    let run = simulate_gates(&machines(2, &unbounded()), Bucket::new(100.0, Some(1)), 240).await;
    let (reached, refused) = (run.rate(60.0, 240.0), run.refused_share(60.0, 240.0));
    assert!((80.0..=101.0).contains(&reached), "reached {reached}");
    assert!(refused < 0.01, "{refused} were refused");
    let run = simulate_gates(&machines(2, &unbounded()), Slots { slots: 10 }, 300).await;
    assert!(run.rate(60.0, 300.0) >= 80.0, "{}", run.rate(60.0, 300.0));
    assert!(run.refused_share(60.0, 300.0) < 0.02, "{}", run.refused_share(60.0, 300.0));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_joins_during_a_run_is_made_room_for() {
    let limits = HostLimits::registry();
    let gates = [0, 1].map(|_| Gate::new("model".to_owned(), limits.clone(), share(1), None));
    let run = simulate_gates(&gates[..1], Bucket::new(200.0, Some(1)), 60).await;
    assert!(run.rate(10.0, 60.0) >= 180.0, "{}", run.rate(10.0, 60.0));
    gates.iter().for_each(|gate| gate.set_share(share(2)));
    let run = simulate_gates(&gates, Bucket::new(200.0, Some(1)), 60).await;
    assert!((180.0..=201.0).contains(&run.rate(5.0, 60.0)), "{}", run.rate(5.0, 60.0));
    assert!(run.refused_share(0.0, 60.0) < 0.005, "{}", run.refused_share(0.0, 60.0));
}
