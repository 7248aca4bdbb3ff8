//! The documented commands, through the real binary, against a registry that records its requests.

mod balance;
mod budget;
mod copy;
mod crawl;
mod documents;
mod index;
#[cfg(feature = "query")]
mod lakes;
mod notices;
mod upkeep;

use std::process::Output;

use all_docs::sample::{Kind, World};

use crate::support::{Env, all_docs, stderr, stdout};

/// Runs the binary in the folder of `env`, on its lake `lake`, with the registry's address for the word `ORIGIN`.
fn run(env: &Env, arguments: &[&str]) -> Output {
    let origin = format!("npm={}", env.server.url());
    let arguments = arguments.iter().map(|argument| if *argument == "ORIGIN" { origin.as_str() } else { argument });
    all_docs(env.folder.path()).args(arguments).output().unwrap()
}

/// Does the same for a command that must succeed, and returns its output.
fn answer(env: &Env, arguments: &[&str]) -> String {
    let output = run(env, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn exit_code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// Returns the queries for pages since the last call.
fn pages_asked(env: &Env) -> Vec<String> {
    let requests = env.server.requests();
    env.server.clear_requests();
    requests.into_iter().filter(|request| request.kind == Kind::Page).map(|request| request.query).collect()
}

/// Makes a registry of these names, and a lake of it in partitions of two names.
fn small_lake(names: &[&str]) -> Env {
    let mut world = World::new();
    world.add_names(names);
    let env = Env::new(world);
    let output = run(&env, &["ingest", "--origin", "ORIGIN", "--partition-rows", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    env.server.clear_requests();
    env
}
