//! Events for operators: `-v`, `ALL_DOCS_LOG` and `--log-format json`; and the completions and man pages.

use std::path::Path;
use std::process::{Command, Output};

use all_docs::sample::{Action, Fault, FaultScript, World};
use serde_json::Value;

use crate::support::{Env, all_docs, run_binary, stderr, stdout};

/// Returns each line of standard error, which must be a JSON object.
fn objects(output: &Output) -> Vec<Value> {
    let text = stderr(output);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn ingest(env: &Env, more: &[&str], log: Option<&str>) -> Output {
    let mut command = all_docs(env.folder.path());
    command.args(["ingest", "--origin", &format!("sample={}", env.server.url())]).args(more);
    if let Some(log) = log {
        command.env("ALL_DOCS_LOG", log);
    }
    command.output().unwrap()
}

fn env_of(names: &[&str]) -> Env {
    let mut world = World::new();
    world.add_names(names);
    Env::new(world)
}

fn refused_once(env: &Env) {
    let refusal = Action::Status { code: 429, retry_after: None, body: None };
    env.server.set_faults(FaultScript::of([Fault::packument("b", refusal)]));
}

#[test]
fn verbose_shows_a_retry_and_nothing_shows_it_otherwise() {
    let env = env_of(&["a", "b"]);
    refused_once(&env);
    let quiet = stderr(&ingest(&env, &["--lake", "one"], None));
    assert!(!quiet.contains("DEBUG"), "{quiet}");
    for (lake, flags, log) in [("two", &["-v"][..], None), ("three", &[], Some("registry=debug"))] {
        refused_once(&env);
        let text = stderr(&ingest(&env, &[&["--lake", lake], flags].concat(), log));
        let retry = text.lines().find(|line| line.contains("retried")).unwrap_or_else(|| panic!("no retry: {text}"));
        assert!(retry.contains("all_docs::registry") && retry.contains("status=429"), "{retry}");
    }
}

#[test]
fn a_log_in_json_is_json_in_each_line() {
    let env = env_of(&["a", "b"]);
    refused_once(&env);
    let output = ingest(&env, &["--log-format", "json", "-v"], None);
    let events = objects(&output);
    assert!(events.iter().all(|event| event["timestamp"].is_string() && event["level"].is_string()), "{events:?}");
    assert!(events.iter().any(|event| event["target"] == "all_docs::registry::client" && event["status"] == 429));
    assert!(events.iter().any(|event| event["message"].as_str().is_some_and(|text| text.contains("commit"))));

    let misspelt = run_binary(env.folder.path(), &["statsu", "--log-format", "json"]);
    assert_eq!(misspelt.status.code(), Some(2));
    let line: serde_json::Value = serde_json::from_str(stderr(&misspelt).trim_end()).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(line["message"].as_str().unwrap().contains("statsu"), "{line}");
    let failed = run_binary(env.folder.path(), &["status", "--lake", "no-such-lake", "--log-format", "json"]);
    let events = objects(&failed);
    assert_eq!(events.last().map(|event| &event["level"]), Some(&Value::from("ERROR")), "{events:?}");
}

#[test]
fn directives_that_are_not_understood_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = all_docs(folder.path()).args(["status"]).env("ALL_DOCS_LOG", "registry=loud").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("ALL_DOCS_LOG") && stderr(&output).contains("registry=debug"));
}

#[test]
fn completions_and_man_pages_know_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&run_binary(folder.path(), &["completions", shell]));
        assert!(script.contains("ingest") && script.contains("rebuild"), "{shell}");
    }
    assert_eq!(run_binary(folder.path(), &["man", "pages"]).status.code(), Some(0));
    for page in ["all-docs.1", "all-docs-ingest.1", "all-docs-partition-refresh.1"] {
        let text = std::fs::read_to_string(folder.path().join("pages").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
}

/// Returns what bash offers for a line of words, the last of which is being typed.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    let (last, before) = (words.last().unwrap(), words[words.len() - 2]);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let asked = format!(
        "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; _all__docs all-docs '{last}' '{before}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        quoted.join(" "),
        words.len() - 1,
    );
    let output = Command::new("bash").args(["--norc", "-c", &asked]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_their_options_and_the_values_of_these() {
    if Command::new("bash").arg("--version").output().is_err() {
        eprintln!("skipped: there is no bash");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("completions");
    std::fs::write(&script, stdout(&run_binary(folder.path(), &["completions", "bash"]))).unwrap();
    for (words, expected) in [
        (&["all-docs", "verif"][..], "verify"),
        (&["all-docs", "verify", "--rep"], "--repair"),
        (&["all-docs", "cache", "validate-p"], "validate-partitions"),
        (&["all-docs", "cache", "validate-partitions", "--lak"], "--lake"),
        (&["all-docs", "packument", "export", "--form"], "--format"),
        (&["all-docs", "packument", "export", "--format", "nd"], "ndjson"),
        (&["all-docs", "completions", "ba"], "bash"),
    ] {
        let offered = offered(&script, words);
        assert!(offered.iter().any(|word| word == expected), "{words:?}: {offered:?}");
    }
    // Each command has its options, except `help`. Without SQL, `query` has none: it only says so.
    let help = stdout(&run_binary(folder.path(), &["--help"]));
    let listed = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let commands: Vec<&str> =
        listed.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"ingest"), "{help}");
    let without_options = if cfg!(feature = "query") { &["help"][..] } else { &["help", "query"] };
    for command in commands.into_iter().filter(|name| !without_options.contains(name)) {
        let offered = offered(&script, &["all-docs", command, "--he"]);
        assert!(offered.iter().any(|word| word == "--help"), "{command}: {offered:?}");
    }
}
