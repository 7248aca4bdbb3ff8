//! Several processes that send requests to one server: together they keep to the limits of one.

use std::process::{Child, Command, Stdio};

use all_docs::sample::{Action, Fault, FaultScript, World};

use crate::support::{Env, stderr};

/// The requests in flight that each process is allowed.
const PLACES: u32 = 2;

/// Makes a registry that takes a moment for each response, so requests in flight together are seen together.
fn registry(seed: u64) -> Env {
    let env = Env::new(World::seeded(seed, 60));
    let action = Action::Slow { before_headers_ms: 5, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
    env.server.set_faults(FaultScript::of([Fault::any(action)]));
    env
}

/// Starts an ingest into a lake of its own.
fn ingest(env: &Env, lake: &str) -> Command {
    let mut command = env.ingest_command(&["m"]);
    command.args(["--concurrency", &PLACES.to_string(), "--lake", lake]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn spawn(env: &Env, lake: &str) -> Child {
    ingest(env, lake).spawn().unwrap()
}

fn wait_for_requests(env: &Env, count: u64) {
    while env.server.request_count() < count {
        std::thread::yield_now();
    }
}

#[test]
fn processes_on_one_machine_have_no_more_in_flight_than_one_of_them_may() {
    let env = registry(81);
    let children: Vec<Child> = ["one", "two", "three"].into_iter().map(|lake| spawn(&env, lake)).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let requests = env.server.requests();
    assert!(requests.len() > 180, "{} requests", requests.len());
    // Each has all places at times, when it is alone or the others send no requests.
    assert_eq!(env.server.most_in_work(), PLACES);
}

#[test]
fn when_the_process_that_decides_is_killed_the_others_go_on() {
    let env = registry(82);
    let mut first = spawn(&env, "one");
    // It has sent a request, so it decides for the processes that start now.
    wait_for_requests(&env, 1);
    let others: Vec<Child> = ["two", "three"].into_iter().map(|lake| spawn(&env, lake)).collect();
    wait_for_requests(&env, 40);
    first.kill().unwrap();
    first.wait().unwrap();
    for child in others {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    // The server may not have noticed yet that nobody waits for its response.
    assert!(env.server.most_in_work() <= 2 * PLACES, "{}", env.server.most_in_work());
    let again = ingest(&env, "one").output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_can_access_is_not_used_and_a_warning_is_printed() {
    use std::os::unix::fs::PermissionsExt;
    let env = registry(83);
    let output = ingest(&env, "one").output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).contains("0700")), (Some(0), false), "{}", stderr(&output));
    let is_runtime_folder =
        |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("all-docs-");
    let mut entries = std::fs::read_dir(env.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let folder = entries.find(is_runtime_folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    let output = ingest(&env, "two").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("to this process only") && told.contains("0700"), "{told}");
}
