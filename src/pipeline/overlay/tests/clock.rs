//! The overlay beside a clock that was wrong.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_wrong_clock_has_noted_in_the_future_are_folded() {
    let (server, lake) = filled(Backend::Memory, 24).await;
    let name = names(&server)[0].clone();
    edit(&server, 0, &name);
    apply(&server, &lake.store, &BTreeSet::from([name])).await.unwrap();
    assert_eq!(tend(&server, &lake.store, NEVER).await.unwrap().folds, 0);
    let path = layout().overlay();
    let mut record: Overlay = lake.store.read_record(&path).await.unwrap().unwrap();
    for delta in &mut record.deltas {
        delta.oldest_at_us = i64::MAX / 2;
    }
    lake.store.put_record(&path, &record).await.unwrap();
    assert_eq!(tend(&server, &lake.store, NEVER).await.unwrap().folds, 1);
    assert_same_rows(&lake.store, &fresh(&server).await.store, "after a fold").await;
}
