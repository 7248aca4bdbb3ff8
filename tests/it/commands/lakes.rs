//! Two registries in one lake, and two lakes in one statement.

use all_docs::sample::World;

use super::{answer, exit_code, run, small_lake};
use crate::support::{Env, stderr, stdout};

const DIFFERENCE: &str = "select name from npm.packages except select name from mirror.packages order by name";

fn second_registry() -> Env {
    let mut world = World::new();
    world.add_names(["a", "c", "only-here"]);
    Env::new(world)
}

#[test]
fn a_lake_answers_about_two_registries() {
    let env = small_lake(&["a", "b", "c", "d"]);
    let other = second_registry();
    let mirror = format!("mirror={}", other.server.url());
    answer(&env, &["ingest", "--origin", &mirror]);
    assert_eq!(answer(&env, &["query", DIFFERENCE, "--format", "csv"]), "name\nb\nd\n");
    assert_eq!(answer(&env, &["query", "select count(*) as n from packages", "--format", "csv"]), "n\n4\n");

    // From now on its name says where it is.
    other.server.clear_requests();
    other.server.world().publish("c", "9.0.0");
    answer(&env, &["packument", "fetch", "c", "--origin", "mirror"]);
    assert_eq!(other.packuments_asked(), ["c"]);
    let shown = run(&env, &["packument", "show", "c", "--origin", "mirror"]);
    assert_eq!(shown.stdout, other.server.world().document("c").unwrap());
    assert_ne!(run(&env, &["packument", "show", "c"]).stdout, shown.stdout);
    let hint = run(&env, &["packument", "show", "only-here"]);
    assert!(stderr(&hint).contains("mirror"), "{}", stderr(&hint));
}

#[test]
fn a_statement_reads_an_attached_lake() {
    let env = small_lake(&["a", "b", "c", "d"]);
    let other = second_registry();
    let (npm, extra) = (format!("npm={}", other.server.url()), format!("extra={}", other.server.url()));
    for origin in [&npm, &extra] {
        answer(&env, &["ingest", "--origin", origin, "--lake", "second"]);
    }
    let ask = |statement: &str, attach: &str| run(&env, &["query", statement, "--format", "csv", "--attach", attach]);
    let difference = ask(DIFFERENCE, "mirror=second");
    assert_eq!(stdout(&difference), "name\nb\nd\n", "{}", stderr(&difference));
    let others = ask("select name from mirror_extra.packages except select name from packages", "mirror=second");
    assert_eq!(stdout(&others), "name\nonly-here\n", "{}", stderr(&others));

    for (attach, expected) in [("npm=second", "npm"), ("second", "NAME=LAKE"), ("x=nowhere", "no lake at nowhere")] {
        let refused = ask("select 1", attach);
        assert!(matches!(exit_code(&refused), Some(2 | 4)), "{attach}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(expected), "{attach}: {}", stderr(&refused));
    }
}
