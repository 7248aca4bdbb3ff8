//! `all-docs follow` as a process: exit codes, one follower of an origin, metrics, signals, kills, and a real CouchDB.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use all_docs::sample::{FaultScript, FeedFaults, Kind, World};
use serde_json::{Value, json};

use crate::support::{Env, all_docs, origin_folder, run_binary, stderr, stdout};

const PIVOTS: [&str; 2] = ["g", "p"];

fn filled(packages: usize) -> Env {
    let env = Env::new(World::seeded(91, packages));
    let output = env.ingest_command(&PIVOTS).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    env
}

fn once(env: &Env) -> std::process::Output {
    env.follow_command(&["--once"]).output().unwrap()
}

/// Returns how many documents an ingest would ask for, and how many names it would add, change or remove.
fn differences(env: &Env) -> (u64, u64) {
    let output = env.ingest_command(&PIVOTS).args(["--dry-run", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let counts = &serde_json::from_slice::<Value>(&output.stdout).unwrap()["counts"];
    let count = |name: &str| counts[name].as_u64().unwrap();
    (count("packuments_planned"), count("names_added") + count("names_changed") + count("names_removed"))
}

fn name(env: &Env, place: usize) -> String {
    env.server.world().names().nth(place).unwrap().to_owned()
}

fn publish(env: &Env, place: usize) {
    // Not in one expression: the world is locked while it is edited.
    let name = name(env, place);
    env.server.world().publish(&name, "9.0.0");
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn asked(env: &Env) -> usize {
    env.server.requests().iter().filter(|request| request.package.is_some()).count()
}

/// Returns how often the feed was asked for a page.
fn polled(env: &Env) -> usize {
    env.server.requests().iter().filter(|request| request.kind == Kind::Changes).count()
}

#[test]
fn a_single_round_ends_with_0_and_with_6_while_a_document_lags() {
    let env = filled(40);
    let output = once(&env);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    env.server.set_faults(FaultScript::of_feed(FeedFaults {
        lagging_every: Some(1),
        lagging_requests: 1,
        ..FeedFaults::default()
    }));
    let changed = name(&env, 3);
    env.server.world().publish(&changed, "9.0.0");
    let output = once(&env);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(stderr(&output).contains("does not serve 1 documents as announced"), "{}", stderr(&output));
    // It is not due yet.
    assert_eq!(once(&env).status.code(), Some(6));
    // As if time had passed.
    let record = origin_folder(&env.lake()).join("follow.json");
    let mut follow: Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    assert_eq!(follow["lagging"][0]["name"], json!(changed));
    follow["lagging"][0]["due_at_us"] = json!(0);
    std::fs::write(&record, follow.to_string()).unwrap();
    let output = once(&env);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(differences(&env), (0, 0));
    assert_eq!(run_binary(env.folder.path(), &["verify"]).status.code(), Some(0));
}

#[test]
fn errors_say_what_to_do_and_have_codes() {
    let env = Env::new(World::seeded(91, 40));
    let output = once(&env);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("all-docs ingest"), "{}", stderr(&output));
    assert!(matches!(env.ingest_command(&PIVOTS).output().unwrap().status.code(), Some(0 | 6)));
    let output = env.follow_command(&["--since", "99999999"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("beyond the registry's own place"), "{}", stderr(&output));
    for (flag, value) in [("--interval", "500ms"), ("--interval", "60"), ("--reconcile", "1s"), ("--metrics", "x")] {
        assert_eq!(
            env.follow_command(&["--once", flag, value]).output().unwrap().status.code(),
            Some(2),
            "{flag} {value}"
        );
    }
    let record = origin_folder(&env.lake()).join("follow.json");
    std::fs::write(record, "{").unwrap();
    let output = once(&env);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("lists the registry, and continues"), "{}", stderr(&output));
}

#[test]
fn rounds_and_the_summary_are_lines_of_json() {
    let env = filled(40);
    publish(&env, 3);
    let output = env.follow_command(&["--once", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["changes"], &lines[0]["committed"]), (&json!(1), &json!(1)));
    assert_eq!((&lines[1]["counts"]["commits"], &lines[1]["interrupted"]), (&json!(1), &json!(false)));
    assert_eq!(lines[0]["place"], lines[1]["place"]);
}

/// A follower that runs on, with the lines of its standard error.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(env: &Env, arguments: &[&str]) -> Running {
        let mut command = env.follow_command(&["--interval", "1s"]);
        let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Running { child, lines }
    }

    /// Reads lines until one has `part`, and returns it.
    fn until_line(&mut self, part: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            assert!(read > 0, "the follower ended without {part:?}: {all}");
            if line.contains(part) {
                return line;
            }
            all.push_str(&line);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the status and the body of an HTTP response.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn metrics_are_in_the_form_of_prometheus_and_health_is_told() {
    let env = filled(40);
    let mut running = Running::start(&env, &["--metrics", "127.0.0.1:0"]);
    let line = running.until_line("metrics at");
    let address = line.split("http://").nth(1).unwrap().trim().trim_end_matches("/metrics").to_owned();
    publish(&env, 3);
    running.until_line("1 changes, 1 committed");
    let (status, body) = get(&address, "/metrics");
    assert_eq!(status, 200);
    let mut values = std::collections::BTreeMap::new();
    let mut described = std::collections::BTreeSet::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            let (kind, name) = (words.next().unwrap(), words.next().unwrap());
            assert!(matches!(kind, "HELP" | "TYPE"), "{line}");
            assert!(kind == "HELP" || matches!(words.next(), Some("gauge" | "counter")), "{line}");
            described.insert(name.to_owned());
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let bare = name.split('{').next().unwrap();
        assert!(described.contains(bare), "{line}");
        assert!(bare.starts_with("all_docs_"), "{line}");
        values.insert(name.to_owned(), value.parse::<f64>().unwrap());
    }
    assert_eq!(values["all_docs_follow_changes_total"], 1.0);
    assert_eq!(values["all_docs_follow_pending"], 0.0);
    assert!(values["all_docs_follow_lag_seconds"] < 30.0 && values["all_docs_follow_lag_seqs"] == 0.0);
    assert!(values["all_docs_requests_total"] >= 3.0);
    assert!(values.keys().any(|name| name.starts_with("all_docs_gate_closed_seconds{host=")));
    for name in ["refusals", "follow_folds", "follow_commits", "follow_errors"] {
        assert!(values.contains_key(&format!("all_docs_{name}_total")), "{name}");
    }
    assert_eq!(get(&address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(&address, "/").0, 404);
}

#[test]
fn a_second_follower_is_refused_and_the_first_goes_on() {
    let env = filled(40);
    let mut first = Running::start(&env, &[]);
    publish(&env, 3);
    first.until_line("1 committed");
    let second = once(&env);
    assert_eq!(second.status.code(), Some(4), "{}", stderr(&second));
    let process = format!("process {}", first.child.id());
    assert!(stderr(&second).contains("already") && stderr(&second).contains(&process), "{}", stderr(&second));
    // Others work beside it.
    assert!(matches!(env.ingest_command(&PIVOTS).output().unwrap().status.code(), Some(0 | 6)));
    assert_eq!(run_binary(env.folder.path(), &["verify"]).status.code(), Some(0));
    publish(&env, 5);
    first.until_line("1 committed");
    drop(first);
    assert_eq!(once(&env).status.code(), Some(0), "the lease of a dead process is taken over at once");
    assert_eq!(differences(&env), (0, 0));
}

#[cfg(unix)]
#[test]
fn sigterm_and_ctrl_c_end_a_follower_cleanly() {
    for signal in ["-TERM", "-INT"] {
        let env = filled(40);
        let mut running = Running::start(&env, &[]);
        publish(&env, 3);
        running.until_line("1 committed");
        assert!(Command::new("kill").args([signal, &running.child.id().to_string()]).status().unwrap().success());
        running.until_line("stopped after");
        assert_eq!(running.child.wait().unwrap().code(), Some(130));
        let origin = origin_folder(&env.lake());
        assert!(!origin.join("leases/follow.json").exists());
        let staged: Vec<_> =
            std::fs::read_dir(origin.join("staging")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(staged.is_empty(), "{staged:?}");
        assert_eq!(differences(&env), (0, 0));
    }
}

/// Kills the real process at moments that its requests choose, and changes the registry meanwhile: at once, or some with
/// each round. Then the lake is that of the registry.
async fn is_killed(packages: usize, kills: usize, changes_a_kill: usize, changes_a_round: Option<usize>) {
    let env = filled(packages);
    let late = FeedFaults { late_every: Some(5), late_pages: 2, lagging_every: Some(7), ..FeedFaults::default() };
    let mut changes = 0;
    for kill in 0..kills {
        let lagging_requests = u64::try_from(kill % 2).unwrap();
        env.server.set_faults(FaultScript::of_feed(FeedFaults { lagging_requests, ..late.clone() }));
        let mut command = env.follow_command(&["--interval", "1s", "--quiet"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for place in 0..changes_a_kill {
            let of = env.server.world().counts().packages;
            let name = name(&env, (kill * 7 + place * 13) % of);
            match (kill + place) % 12 {
                0 => env.server.world().unpublish(&name),
                1 => env.server.world().delete(&name),
                2 => env.server.world().publish(&format!("new-{kill}-{place}"), "1.0.0"),
                _ => env.server.world().publish(&name, &format!("9.{kill}.{place}")),
            }
            changes += 1;
            if changes_a_round.is_some_and(|round| place % round == round - 1) {
                let before = polled(&env);
                until(|| polled(&env) > before || child.try_wait().unwrap().is_some()).await;
            }
        }
        let before = asked(&env);
        until(|| asked(&env) > before + kill % 6 || child.try_wait().unwrap().is_some()).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    env.server.set_faults(FaultScript::default());
    let record = origin_folder(&env.lake()).join("follow.json");
    for _ in 0..3 {
        let output = once(&env);
        assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
        let mut follow: Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
        for lagging in follow["lagging"].as_array_mut().unwrap() {
            lagging["due_at_us"] = json!(0);
        }
        std::fs::write(&record, follow.to_string()).unwrap();
    }
    let output = once(&env);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(differences(&env), (0, 0), "after {changes} changes and {kills} kills");
    assert_eq!(run_binary(env.folder.path(), &["verify"]).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_killed_again_and_again_loses_no_change() {
    is_killed(120, 8, 8, None).await;
}

/// The soak of CI: 2,000 changes and 30 kills in some ten minutes, because a round takes a second.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; CI runs it by name"]
async fn soak_of_a_follower_that_is_killed_again_and_again() {
    is_killed(1_000, 30, 67, Some(4)).await;
}

/// A CouchDB-compatible server, see `tests/tools/couch.cjs`.
struct Couch {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    url: String,
}

impl Couch {
    /// Starts one; `None`, with a notice, where the tools are missing. CI fails then.
    fn start() -> Option<Couch> {
        let Some(modules) = std::env::var_os("ALL_DOCS_COUCH") else {
            assert!(std::env::var_os("ALL_DOCS_REQUIRE_TOOLS").is_none(), "ALL_DOCS_COUCH is not set");
            eprintln!("skipped: set ALL_DOCS_COUCH to a folder with express-pouchdb in its node_modules");
            return None;
        };
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tools/couch.cjs");
        let mut command = Command::new("node");
        command.arg(script).arg(modules).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut couch = Couch { child, input, output: BufReader::new(output), url: String::new() };
        couch.url = couch.line();
        Some(couch)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "the server has died");
        line.trim().to_owned()
    }

    fn write(&mut self, documents: &Value) {
        writeln!(self.input, "{documents}").unwrap();
        assert_eq!(self.line(), "done");
    }
}

impl Drop for Couch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn document(name: &str, versions: &[&str]) -> Value {
    let entry = |version: &&str| ((*version).to_owned(), json!({ "name": name, "version": version }));
    let entries: serde_json::Map<String, Value> = versions.iter().map(entry).collect();
    json!({ "_id": name, "name": name, "dist-tags": { "latest": versions.last() }, "versions": entries, "time": {} })
}

#[test]
fn a_feed_of_a_compatible_couchdb_is_followed_while_it_is_written_to() {
    let Some(mut couch) = Couch::start() else { return };
    let names: Vec<String> = (0..30).map(|n| format!("package-{n:02}")).collect();
    let all: Vec<Value> = names.iter().map(|name| document(name, &["1.0.0"])).collect();
    couch.write(&Value::Array(all));
    let folder = tempfile::tempdir().unwrap();
    let origin = format!("couch={}", couch.url);
    let run = |arguments: &[&str]| {
        let output = all_docs(folder.path()).args(arguments).args(["--origin", &origin]).output().unwrap();
        // A listing counts a design document among its names, and is one short then.
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 6)), "{arguments:?}: {code:?} {}", stderr(&output));
        output
    };
    let pivots = folder.path().join("pivots.json");
    std::fs::write(&pivots, r#"["package-15"]"#).unwrap();
    run(&["ingest", "--partitions", "exact", "--pivots", pivots.to_str().unwrap()]);
    let mut running = all_docs(folder.path())
        .args(["follow", "--interval", "1s", "--json", "--origin", &origin])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut rounds = BufReader::new(running.stdout.take().unwrap());
    let mut committed = 0;
    let mut until_committed = |wanted: u64| {
        while committed < wanted {
            let mut line = String::new();
            assert!(rounds.read_line(&mut line).unwrap() > 0, "the follower ended");
            committed += serde_json::from_str::<Value>(&line).unwrap()["committed"].as_u64().unwrap();
        }
    };
    couch.write(&json!([document("package-03", &["1.0.0", "2.0.0"]), document("@new/one", &["1.0.0"])]));
    until_committed(2);
    couch.write(&json!([{ "_id": "package-20", "_deleted": true }, { "_id": "_design/app", "views": {} }]));
    until_committed(3);
    couch.write(&json!([document("package-03", &["1.0.0", "2.0.0", "3.0.0"])]));
    until_committed(4);
    running.kill().unwrap();
    running.wait().unwrap();
    couch.write(&json!([document("package-20", &["5.0.0"]), document("package-29", &["1.0.0", "1.1.0"])]));
    let output = run(&["follow", "--once", "--json"]);
    let round: Value = serde_json::from_str(stdout(&output).lines().next().unwrap()).unwrap();
    assert_eq!(round["committed"], json!(2), "{round}");
    let output = run(&["ingest", "--dry-run", "--json"]);
    let counts = &serde_json::from_slice::<Value>(&output.stdout).unwrap()["counts"];
    let changed: u64 = ["packuments_planned", "names_added", "names_changed", "names_removed"]
        .iter()
        .map(|name| counts[name].as_u64().unwrap())
        .sum();
    assert_eq!(changed, 0, "{counts}");
}
