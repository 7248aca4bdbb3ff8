//! Any sequence of edits, commits, kills, merges, folds and ingests.

use proptest::prelude::*;

use super::*;

/// One step of a sequence.
#[derive(Debug, Clone)]
enum Op {
    Edit(u8, usize),
    Apply,
    /// The process dies at the step of an apply, or of a tending, with this number.
    Kill(u64, bool),
    Merge,
    Fold(f64),
    Ingest,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (0_u8..8, 0_usize..16).prop_map(|(kind, name)| Op::Edit(kind, name)),
        4 => Just(Op::Apply),
        2 => (1_u64..160, any::<bool>()).prop_map(|(step, tends)| Op::Kill(step, tends)),
        2 => Just(Op::Merge),
        1 => prop_oneof![Just(0.0), Just(0.2)].prop_map(Op::Fold),
        1 => Just(Op::Ingest),
    ];
    prop::collection::vec(op, 4..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_sequence_of_changes_kills_merges_folds_and_ingests_ends_in_the_lake_of_a_fresh_ingest(ops in ops()) {
        tokio::runtime::Runtime::new().unwrap().block_on(Box::pin(play(ops)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_a_dead_commit_staged_are_cleared_also_if_an_ingest_has_fetched_them_since() {
    play(vec![Op::Edit(0, 0), Op::Kill(21, false), Op::Ingest, Op::Kill(107, false)]).await;
}

async fn play(ops: Vec<Op>) {
    let (server, lake) = filled(Backend::Memory, 16).await;
    let all = names(&server);
    let mut pending: BTreeSet<String> = BTreeSet::new();
    let mut store = lake.store.clone();
    for op in ops {
        match op {
            Op::Edit(kind, name) => {
                edit(&server, kind, &all[name]);
                pending.extend([all[name].clone(), format!("{}-new", all[name])]);
            }
            Op::Apply => {
                apply(&server, &store, &pending).await.unwrap();
                pending.clear();
            }
            Op::Kill(number, tends) => {
                let failing = store.failing_at(number, Failure::Death);
                let _ = match tends {
                    true => tend(&server, &failing, FoldPolicy { rows: 0.3, ..NEVER }).await.map(drop),
                    false => apply(&server, &failing, &pending).await.map(drop),
                };
                store = lake.next_store(number % 2 == 0);
                forget_dead_process(&store).await;
            }
            Op::Merge => drop(tend(&server, &store, NEVER).await.unwrap()),
            Op::Fold(rows) => drop(tend(&server, &store, FoldPolicy { rows, ..NEVER }).await.unwrap()),
            Op::Ingest => {
                run(&server, &store, &PIVOTS).await.unwrap();
                pending.clear();
            }
        }
    }
    // The next commit clears what a dead process has staged, also if an ingest has made that superfluous.
    edit(&server, 0, &all[0]);
    pending.insert(all[0].clone());
    apply(&server, &store, &pending).await.unwrap();
    let fresh = fresh(&server).await;
    assert_same_rows(&store, &fresh.store, "in the end").await;
    let copy = Store::memory();
    super::cut::cut(&store, &copy, 5).await;
    super::cut::assert_cut_of_fresh(&server, &copy, 5, "in the end").await;
    assert_folds_into(&server, &store, &fresh.store, "in the end").await;
}
