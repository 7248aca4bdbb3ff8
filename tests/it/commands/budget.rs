//! The month's count of requests in the lake: every command that asks a registry counts there, and a killed process has
//! counted each request before it sent it.

use std::process::{Child, Output, Stdio};
use std::time::Duration;

use all_docs::sample::{Action, Fault, FaultScript, Kind, World};

use super::{exit_code, run, small_lake};
use crate::support::{Env, all_docs, never, stderr};

const NAMES: [&str; 6] = ["a1", "a2", "b1", "b2", "c1", "c2"];
/// The requests that a killed process may have counted but not sent, early in its run.
const FIRST_BLOCK: u64 = 16;

/// Returns the requests to the test's registry, by the lake's count of this month.
fn counted(env: &Env) -> u64 {
    let Ok(text) = std::fs::read(env.lake().join("requests.json")) else { return 0 };
    let requests: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let host = env.server.url().strip_prefix("http://").unwrap();
    requests["hosts"][host]["requests"].as_u64().unwrap_or(0)
}

fn seen(env: &Env) -> u64 {
    env.server.request_count()
}

fn spawn(env: &Env, arguments: &[&str]) -> Child {
    let origin = format!("npm={}", env.server.url());
    let mut command = all_docs(env.folder.path());
    command.args(arguments).args(["--origin", &origin]).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Kills a command with SIGKILL as soon as the registry has seen `requests` in all. Returns whether it had to be
/// killed.
fn kill_at(env: &Env, arguments: &[&str], requests: u64) -> bool {
    let mut child = spawn(env, arguments);
    while seen(env) < requests && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let is_alive = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    is_alive
}

#[test]
fn every_command_counts_its_requests_in_the_lake() {
    let env = small_lake(&NAMES);
    let first = counted(&env);
    assert!(first > 6);
    let expect = |arguments: &[&str]| -> Output {
        let before = (counted(&env), seen(&env));
        let output = run(&env, arguments);
        assert!(seen(&env) > before.1, "{arguments:?} asked nothing: {}", stderr(&output));
        assert_eq!(counted(&env) - before.0, seen(&env) - before.1, "{arguments:?}: {}", stderr(&output));
        output
    };
    for arguments in [
        &["ingest", "--origin", "ORIGIN"][..],
        &["ingest", "--origin", "ORIGIN", "--refresh", "--dry-run"],
        &["partition", "refresh", "--origin", "ORIGIN"],
        &["partition", "fetch", "--start", "b1", "--origin", "ORIGIN"],
        &["packument", "fetch", "b2", "--refresh", "--origin", "ORIGIN"],
        &["pivots", "--count", "3", "--ask", "--origin", "ORIGIN"],
    ] {
        assert_eq!(exit_code(&expect(arguments)), Some(0), "{arguments:?}");
    }
    std::fs::remove_file(env.lake().join("npm/versions/0-62.parquet")).unwrap();
    assert_eq!(exit_code(&expect(&["verify", "--repair"])), Some(0));
    // A failed command has sent requests too.
    env.server.set_faults(FaultScript::of([Fault::any(Action::Unauthorized401)]));
    for arguments in [&["ingest", "--origin", "ORIGIN"][..], &["pivots", "--ask", "--origin", "ORIGIN"]] {
        assert_eq!(exit_code(&expect(arguments)), Some(3), "{arguments:?}");
    }
}

#[test]
fn a_process_that_is_killed_has_counted_what_the_registry_saw() {
    let env = small_lake(&NAMES);
    let (counted_before, seen_before) = (counted(&env), seen(&env));
    let mut kills = 0;
    // At the first request, at the first page, and at the first document.
    for kind in [Kind::Root, Kind::Page, Kind::Packument] {
        env.server.set_faults(FaultScript::of([Fault::on(kind, never())]));
        for arguments in [
            &["ingest", "--refresh"][..],
            &["ingest", "--dry-run"],
            &["packument", "fetch", "a1", "c2", "--refresh"],
            &["pivots", "--count", "3", "--ask"],
        ] {
            let first = seen(&env) + 1 + u64::from(kind != Kind::Root) + u64::from(kind == Kind::Packument);
            kills += u64::from(kill_at(&env, arguments, first));
            let (counted, seen) = (counted(&env) - counted_before, seen(&env) - seen_before);
            assert!(counted >= seen, "{arguments:?}: {counted} counted, {seen} seen");
            assert!(counted - seen <= kills * FIRST_BLOCK, "{arguments:?}: {counted} counted, {seen} seen");
        }
    }
    assert!(kills >= 8, "{kills}");
}

#[test]
fn killed_runs_never_send_more_than_the_budget() {
    const BUDGET: u64 = 100;
    let env = Env::new(World::seeded(81, 300));
    let last = env.server.world().names().last().unwrap().to_owned();
    let slow = Action::Slow { before_headers_ms: 3, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
    env.server.set_faults(FaultScript::of([Fault::packument(&last, never()), Fault::on(Kind::Packument, slow)]));
    // Before the first document there may be no lake to count in, so the first run is killed at one.
    for kill in 1..=5 {
        kill_at(&env, &["ingest", "--monthly-budget", "100"], kill * 15);
        assert!(counted(&env) >= seen(&env), "{} counted, {} seen", counted(&env), seen(&env));
    }
    let output = run(&env, &["ingest", "--origin", "ORIGIN", "--monthly-budget", "100"]);
    assert_eq!(exit_code(&output), Some(5), "{}", stderr(&output));
    assert!(stderr(&output).contains("remained to be requested"), "{}", stderr(&output));
    assert_eq!(counted(&env), BUDGET);
    assert!(seen(&env) <= BUDGET && seen(&env) > BUDGET / 2, "{} seen", seen(&env));
}

#[test]
fn two_processes_on_one_lake_count_each_others_requests() {
    let env = small_lake(&NAMES);
    env.server.world().add_names((0..200).map(|number| format!("n{number}")));
    let (counted_before, seen_before) = (counted(&env), seen(&env));
    let ingest = |name: &str| {
        let mut command = all_docs(env.folder.path());
        command.args(["ingest", "--origin", &format!("{name}={}", env.server.url())]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for mut child in ["npm", "mirror", "third"].map(ingest) {
        assert!(child.wait().unwrap().success());
    }
    // The two new origins of the lake get more than 200 requests each.
    assert!(seen(&env) - seen_before > 600);
    assert_eq!(counted(&env) - counted_before, seen(&env) - seen_before);
}
