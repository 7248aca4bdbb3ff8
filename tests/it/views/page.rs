//! The examples of `docs/sql.md`, each run as written there.

use std::fs;
use std::process::Command;

use all_docs::registry::Credentials;
use all_docs::registry::{Origin, Registry, RegistryConfig};
use all_docs::sample::World;

use super::lines;
use crate::support::{Env, all_docs, run, stderr, stdout};

/// Makes a lake of the origins `npm` and `mirror`, which differ by some packages. Something happened in both since they were
/// first ingested.
async fn lake() -> Env {
    let mut mirror = Env::new(World::seeded(51, 150));
    let npm = Env::new(World::seeded(51, 200));
    for (env, name) in [(&npm, "npm"), (&mirror, "mirror")] {
        let mut origin = Origin::parse(env.server.url(), None).unwrap();
        origin.name = name.to_owned();
        let config = RegistryConfig::for_origin(&origin);
        let mut options = env.options(&["k"]);
        options.store = npm.store();
        options.registry = Registry::new(origin, config, Credentials::default()).unwrap();
        env.server.world().publish("hijacked", "1.0.0");
        run(options.clone()).await.unwrap();
        {
            let mut world = env.server.world();
            world.publish("hijacked", "1.0.1");
            assert!(world.set("hijacked", Some("1.0.1"), r#"{"scripts":{"postinstall":"node x.js"}}"#));
            assert!(world.set("hijacked", None, r#"{"maintainers":[{"name":"eve"}]}"#));
        }
        run(options).await.unwrap();
    }
    mirror.folder = npm.folder;
    mirror
}

/// Returns the blocks of the page that are fenced as `language`.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| Some(block.strip_prefix(language)?.strip_prefix('\n')?.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_page_is_answered() {
    let env = lake().await;
    let folder = env.folder.path();
    let ask =
        |arguments: &[&str]| all_docs(folder).args(["query", "--format", "csv"]).args(arguments).output().unwrap();
    // A package that other packages depend on, and that has dependencies itself.
    let between = "select dependency from dependencies where is_latest and kind = 'prod'
        and dependency in (select name from dependencies where is_latest and kind = 'prod')
        group by 1 order by count(*) desc, 1 limit 1";
    let name = lines(&ask(&[between])).remove(0);
    let version = lines(&ask(&[&format!("select latest from packages where name = '{name}'")]));
    let record = format!("{{\"name\":\"{name}\",\"version\":\"{}\",\"score\":1}}\n", version[0]);
    fs::write(folder.join("records.ndjson"), record).unwrap();

    let page = include_str!("../../../docs/sql.md");
    let statements = blocks(page, "sql");
    assert!(statements.len() >= 18, "only {} examples were found", statements.len());
    for statement in &statements {
        let path = folder.join("example.sql");
        fs::write(&path, statement).unwrap();
        let parameter = format!("name={name}");
        let mut arguments = vec!["--file", "example.sql"];
        if statement.contains("$name") {
            arguments.extend(["--param", &parameter]);
        }
        assert!(!lines(&ask(&arguments)).is_empty(), "no rows: {statement}");
    }
    let enriched = statements.iter().find(|statement| statement.contains("records.*")).unwrap();
    let rows = lines(&ask(&[enriched]));
    assert!(rows[0].contains("20") && rows[0].contains('T'), "the time of publication: {rows:?}");

    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_all-docs")).parent().unwrap();
    let search = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    for script in blocks(page, "sh") {
        let output =
            Command::new("bash").args(["-euc", &script]).current_dir(folder).env("PATH", &search).output().unwrap();
        assert!(output.status.success() && !stdout(&output).is_empty(), "{script}: {}", stderr(&output));
    }
}
