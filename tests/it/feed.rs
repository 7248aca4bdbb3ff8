//! The feed of changes through the library, as far as it is implemented: its pages.

use std::collections::BTreeMap;

use all_docs::npm::{ChangeRow, ChangesQuery, PageQuery, Seq};
use all_docs::sample::{Action, Fault, FaultScript, Framing, Kind, When, World};

use crate::support::Env;

/// Returns all rows after `since`, and the feed's place then.
async fn follow(env: &Env, mut since: Option<Seq>) -> (Vec<ChangeRow>, Option<Seq>) {
    let registry = env.registry();
    let mut rows = Vec::new();
    loop {
        let page = registry.changes(&ChangesQuery { since: since.clone(), limit: 7 }).await.unwrap();
        assert_eq!(page.unusable_rows, 0);
        let is_last = page.rows.is_empty();
        since = page.last_seq;
        rows.extend(page.rows);
        if is_last {
            return (rows, since);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_feed_have_each_package_once_even_if_the_server_fails() {
    let env = Env::new(World::seeded(91, 50));
    let cut = Fault::on(Kind::Changes, Action::CutBody { at_byte: 300, framing: Framing::default() });
    let cut = Fault { when: When { nth: Some(2), ..When::default() }, ..cut };
    env.server
        .set_faults(FaultScript::of([cut, Fault { times: Some(1), ..Fault::on(Kind::Changes, Action::HtmlWith200) }]));
    let (rows, head) = follow(&env, None).await;
    let listed = env.registry().page(&PageQuery { start: None, end: None, limit: 1_000 }).await.unwrap().rows;
    let listed: BTreeMap<_, _> = listed.into_iter().map(|row| (row.name, row.rev)).collect();
    let told = rows.iter().filter(|row| !row.is_deleted).map(|row| (row.name.clone(), row.rev.clone()));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), listed);
    assert_eq!(rows.iter().filter(|row| !row.is_deleted).count(), listed.len(), "a package twice");

    let info = env.registry().info().await.unwrap();
    assert_eq!(info.update_seq, head, "the end of the feed is where the registry says it stands");
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    env.server.world().publish(&names[3], "99.0.0");
    env.server.world().delete(&names[8]);
    let (news, _) = follow(&env, head).await;
    let news: Vec<_> = news.iter().map(|row| (row.name.as_str(), row.is_deleted)).collect();
    assert_eq!(news, [(names[3].as_str(), false), (names[8].as_str(), true)]);
}
