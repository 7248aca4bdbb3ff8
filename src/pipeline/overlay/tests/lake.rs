//! The other commands over a lake with an overlay: verify and its repair, copy, status, documents, listings, rebuild, events.

use super::*;
use crate::lake::FollowRecord;
use crate::pipeline::verify::{Fault, prepare_repair, repair_overlay, verify, verify_quickly};
use crate::pipeline::{
    ClearPart, Clearing, CopyOptions, CopySummary, LakeDocuments, LakeProof, LakeRows, Progress, RebuildOptions, copy,
    lake_status, rebuild,
};

/// A registry, and a lake with its last changes in two deltas: of six names, one of them new and one gone.
async fn changed(backend: Backend) -> (SampleServer, Lake, Vec<String>) {
    let (server, lake) = filled(backend, 24).await;
    let all = names(&server);
    for (round, kinds) in [[0, 0, 5], [0, 7, 4]].into_iter().enumerate() {
        let mut edited = BTreeSet::new();
        for (place, kind) in kinds.into_iter().enumerate() {
            let name = &all[(round * 3 + place) * 4];
            edit(&server, kind, name);
            edited.extend([name.clone(), format!("{name}-new")]);
        }
        apply(&server, &lake.store, &edited).await.unwrap();
    }
    (server, lake, all)
}

async fn proof(store: &Store, is_quick: bool) -> LakeProof {
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    match is_quick {
        true => Box::pin(verify_quickly(store, None, progress, stop)).await.unwrap(),
        false => Box::pin(verify(store, None, progress, stop)).await.unwrap(),
    }
}

async fn copied(from: &Store, to: &Store) -> Result<CopySummary> {
    Box::pin(copy(from, to, &CopyOptions::default(), Arc::default(), CancellationToken::new())).await
}

/// Returns the kinds of faults, and whether each file is of the overlay.
fn faults(proof: &LakeProof) -> Vec<(Fault, bool)> {
    let findings = proof.origins.iter().flat_map(|origin| &origin.findings);
    findings.map(|finding| (finding.fault, finding.file.starts_with(&layout().overlay_folder()))).collect()
}

/// Repairs the overlay, and asserts that the next follower lists the registry.
async fn repaired(store: &Store, found: &LakeProof) -> Vec<String> {
    store.put_record(&layout().follow(), &FollowRecord::empty()).await.unwrap();
    let notes = repair_overlay(store, &found.origins[0]).await.unwrap();
    assert_eq!(store.get(&layout().follow()).await.unwrap(), None, "it knows no place");
    notes
}

/// Repairs the overlay, and asserts that a listing then brings the lake up to date again.
async fn assert_mended(server: &SampleServer, store: &Store, found: &LakeProof) -> Vec<String> {
    let notes = repaired(store, found).await;
    assert!(prepare_repair(store, &found.origins[0]).await.unwrap().is_empty(), "no partition is broken");
    let again = proof(store, false).await;
    assert!(again.is_sound(), "{again:?}");
    run(server, store, &PIVOTS).await.unwrap();
    assert_same_rows(store, &fresh(server).await.store, "after a repair and an ingest").await;
    notes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_with_an_overlay_is_sound_and_the_loss_of_the_newest_delta_is_found_and_mended() {
    for backend in [Backend::Memory, Backend::Disk] {
        let (server, lake, _) = changed(backend).await;
        let store = &lake.store;
        assert!(proof(store, false).await.is_sound() && proof(store, true).await.is_sound());
        let newest = record(store).await.deltas.pop().unwrap();
        store.delete_folder(newest.layout(&layout()).root()).await.unwrap();
        assert_eq!(faults(&proof(store, true).await), [(Fault::Missing, true)]);
        let found = proof(store, false).await;
        assert_eq!(faults(&found), [(Fault::Missing, true)]);
        let notes = assert_mended(&server, store, &found).await;
        assert!(notes.len() == 1 && notes[0].contains("3 names are lost"), "{notes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_delta_is_set_aside_and_its_names_are_told() {
    let (server, lake, all) = changed(Backend::Disk).await;
    let store = &lake.store;
    let oldest = record(store).await.deltas.remove(0);
    let shard = oldest.layout(&layout()).shard(TableKind::Versions, &Delta::PARTITION);
    let mut bytes = store.get(&shard).await.unwrap().unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    store.put(&shard, bytes).await.unwrap();
    let found = proof(store, false).await;
    assert_eq!(faults(&found), [(Fault::Damaged, true)]);
    let notes = assert_mended(&server, store, &found).await;
    assert!(notes[0].contains(&all[0]) && notes[0].contains(&all[4]), "{notes:?}");
    assert!(store.list(&format!("{}/set-aside", layout().root())).await.unwrap().len() > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_lost_or_cut_is_made_again_from_the_deltas() {
    for is_lost in [true, false] {
        let (server, lake, _) = changed(Backend::Disk).await;
        let (store, path) = (&lake.store, layout().overlay());
        let before = record(store).await;
        match is_lost {
            true => store.delete(&path).await.unwrap(),
            false => store.put(&path, "{\"format_ver").await.unwrap(),
        }
        let found = proof(store, false).await;
        assert_eq!(faults(&found), [(Fault::Record, true)]);
        // No command treats it as a lake without an overlay.
        let to = Store::memory();
        let refusals = [
            LakeDocuments::open(store, &layout()).await.map(drop),
            LakeRows::open(store, &layout()).await.map(drop),
            lake_status(store).await.map(drop),
            copied(store, &to).await.map(drop),
            run(&server, store, &PIVOTS).await.map(drop),
        ];
        for refused in refusals {
            let report = refused.unwrap_err().report();
            assert!(report.contains("all-docs verify --repair makes it again"), "{report}");
        }
        let kept = store.list(&layout().overlay_folder()).await.unwrap();
        let name = names(&server)[0].clone();
        assert!(apply(&server, store, &BTreeSet::from([name])).await.is_err());
        assert_eq!(store.list(&layout().overlay_folder()).await.unwrap(), kept);
        let notes = repaired(store, &found).await;
        assert!(notes[0].contains("2 deltas"), "{notes:?}");
        let commits =
            |record: &Overlay| record.deltas.iter().map(|delta| (delta.first, delta.last)).collect::<Vec<_>>();
        assert_eq!(commits(&record(store).await), commits(&before));
        assert!(proof(store, false).await.is_sound());
        assert_same_rows(store, &fresh(&server).await.store, "after the record was made again").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_made_again_knows_which_deltas_the_base_has_taken_over() {
    let (server, lake, all) = changed(Backend::Memory).await;
    let store = &lake.store;
    // An ingest folds the partition of the first name, and changes it: the deltas have an older document of it.
    edit(&server, 0, &all[0]);
    run(&server, store, &PIVOTS).await.unwrap();
    let before = record(store).await;
    assert_eq!(before.folded.len(), 1);
    store.delete(&layout().overlay()).await.unwrap();
    repaired(store, &proof(store, false).await).await;
    let after = record(store).await;
    let deltas = |record: &Overlay| record.deltas.iter().map(|delta| delta.last).collect::<Vec<_>>();
    assert_eq!((deltas(&after), &after.folded, after.newest), (deltas(&before), &before.folded, before.newest));
    let quiet = fresh(&server).await;
    assert_same_rows(store, &quiet.store, "after the record was made again").await;
    assert_eq!(run(&server, store, &PIVOTS).await.unwrap().counts.packuments_planned, 0);
    assert_folds_into(&server, store, &quiet.store, "after the record was made again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_beside_a_fold_and_an_ingest_has_the_newer_rows() {
    let (server, lake, all) = changed(Backend::Disk).await;
    let to = Backend::Disk.lake(&BTreeMap::new()).await.store;
    // It has the deltas, and no shard of the base yet.
    let begins = |reached: &Reached| reached.path.contains("/packuments/") && !reached.path.contains("/overlay/");
    let copying = super::beside::standing_at(&to, begins);
    let copied = Box::pin(copied(&lake.store, &copying));
    let beside = copying.meanwhile(async {
        fold_everything(&lake.store).await;
        assert_eq!((record(&lake.store).await.deltas, record(&lake.store).await.folded.len()), (Vec::new(), 0));
        edit(&server, 0, &all[0]);
        run(&server, &lake.store, &PIVOTS).await.unwrap();
    });
    let (copied, ()) = tokio::join!(copied, beside);
    copied.unwrap();
    assert_same_rows(&to, &fresh(&server).await.store, "in a copy beside a fold").await;
    assert!(proof(&to, false).await.is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_folder_of_the_overlay_is_told_and_left_alone() {
    let (_, lake, _) = changed(Backend::Disk).await;
    let store = &lake.store;
    let foreign = format!("{}/12-garbage/versions/0-z.parquet", layout().overlay_folder());
    store.put(&foreign, "mine").await.unwrap();
    for is_quick in [true, false] {
        let found = proof(store, is_quick).await;
        assert!(found.is_sound(), "{found:?}");
        let notes = found.origins.iter().flat_map(|origin| &origin.notes);
        assert!(is_quick || notes.clone().any(|note| note.contains("overlay/12-garbage is not part")), "{found:?}");
    }
    let clearing = Clearing::plan(store, &layout(), ClearPart::Everything).await.unwrap();
    assert!(clearing.paths().len() > 40 && !clearing.paths().contains(&foreign));
    clearing.run().await.unwrap();
    assert_eq!(store.list(layout().root()).await.unwrap(), [foreign]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_the_overlay_too_and_follows_merges_and_folds() {
    let (server, lake, all) = changed(Backend::Disk).await;
    let to = Backend::Memory.lake(&BTreeMap::new()).await.store;
    let copied = async || copied(&lake.store, &to).await.unwrap();
    copied().await;
    let quiet = fresh(&server).await;
    assert_same_rows(&to, &quiet.store, "in a copy").await;
    assert!(proof(&to, false).await.is_sound());
    let again = copied().await;
    assert_eq!((again.shards_copied, again.partitions_copied), (0, 0));
    for name in &all[..4] {
        edit(&server, 0, name);
        apply(&server, &lake.store, &BTreeSet::from([name.clone()])).await.unwrap();
        tend(&server, &lake.store, NEVER).await.unwrap();
    }
    copied().await;
    let quiet = fresh(&server).await;
    assert_same_rows(&to, &quiet.store, "in a copy after merges").await;
    tend(&server, &lake.store, FoldPolicy::EVERYTHING).await.unwrap();
    copied().await;
    assert_same_rows(&to, &quiet.store, "in a copy after a fold").await;
    assert_eq!(to.list(&layout().overlay_folder()).await.unwrap(), [layout().overlay()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_followed_is_readable_at_every_step_and_no_follower_begins_meanwhile() {
    let (server, lake, all) = changed(Backend::Disk).await;
    let to = Backend::Disk.lake(&BTreeMap::new()).await.store;
    copied(&lake.store, &to).await.unwrap();
    // Each has a delta of its own with the same number.
    edit(&server, 0, &all[2]);
    apply(&server, &to, &[all[2].clone()].into()).await.unwrap();
    to.put_record(&layout().follow(), &FollowRecord::empty()).await.unwrap();
    edit(&server, 0, &all[3]);
    apply(&server, &lake.store, &[all[3].clone()].into()).await.unwrap();
    let numbers = |record: Overlay| record.deltas.iter().map(|delta| (delta.first, delta.last)).collect::<Vec<_>>();
    assert_eq!(numbers(record(&to).await), numbers(record(&lake.store).await));
    // It has written a part of the first delta that the two have in common.
    let begins = |reached: &Reached| reached.path.contains("/0000000003-") && reached.path.contains("/manifest/");
    let copying = super::beside::standing_at(&to, begins);
    let beside = copying.meanwhile(async {
        assert!(proof(&to, false).await.is_sound());
        let attempt = Lease::of_stem(&to, &layout(), Layout::follow_lease(), "follow").await.unwrap();
        assert!(matches!(attempt, Attempt::HeldBy(holder) if holder.purpose == "copy"));
    });
    let (copying, ()) = tokio::join!(copied(&lake.store, &copying), beside);
    copying.unwrap();
    assert_eq!(to.get(&layout().follow()).await.unwrap(), None);
    assert_eq!(record(&to).await, record(&lake.store).await);
    assert!(proof(&to, false).await.is_sound());
    for table in TableKind::ALL {
        assert_eq!(rows(&to, table).await, rows(&lake.store, table).await, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_listings_and_status_see_base_and_overlay_as_one() {
    let (server, lake, all) = changed(Backend::Disk).await;
    let store = lake.store.clone();
    let status = lake_status(&store).await.unwrap().unwrap().remove(0);
    let overlay = status.overlay.unwrap();
    assert_eq!((overlay.deltas, overlay.names, overlay.names_changed), (2, 6, 0), "{overlay:?}");
    assert!(lake_status(&fresh(&server).await.store).await.unwrap().unwrap().remove(0).overlay.is_none());
    let summary = run(&server, &store, &PIVOTS).await.unwrap();
    assert_eq!(summary.state.names, server.world().names().count() as u64);
    let rows = LakeRows::open(&store, &layout()).await.unwrap();
    assert_eq!(rows.count(), server.world().names().count() as u64);
    let documents = LakeDocuments::open(&store, &layout()).await.unwrap();
    let set = read_partition_set(&store, &layout()).await.unwrap().unwrap();
    let (listed, held, found) = crate::store::blocking("reading", move || {
        let listed: Vec<String> = rows.iter().map(|row| row.unwrap().name.to_string()).collect();
        let held: Vec<String> =
            set.iter().flat_map(|part| documents.names(&part).unwrap()).map(|name| name.to_string()).collect();
        let found = [&all[0], &all[8]].map(|name| documents.find(&PackageName::new(name.as_str())).unwrap());
        Ok((listed, held, found))
    })
    .await
    .unwrap();
    let names = names(&server);
    assert_eq!((&listed, &held), (&names, &names));
    assert_eq!(found[0].as_ref().unwrap().bytes, server.world().document(&names[0]).unwrap());
    assert!(found[1].is_none(), "it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_takes_in_the_overlay_of_what_it_rebuilds() {
    let (server, lake, _) = changed(Backend::Memory).await;
    let options = RebuildOptions { force: true, ..RebuildOptions::default() };
    Box::pin(rebuild(&lake.store, &options, Arc::default(), CancellationToken::new())).await.unwrap();
    assert_eq!(record(&lake.store).await.folded.len(), 3);
    assert_folds_into(&server, &lake.store, &fresh(&server).await.store, "after a rebuild").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_overlay_are_events_of_the_origin_once() {
    let (server, lake, all) = changed(Backend::Memory).await;
    let feed = async || lake.store.list(&layout().feed()).await.unwrap().len();
    assert_eq!(feed().await, 2, "one file for each commit");
    // Neither a fold nor an ingest of what is known is an event.
    tend(&server, &lake.store, FoldPolicy { rows: 0.0, ..NEVER }).await.unwrap();
    run(&server, &lake.store, &PIVOTS).await.unwrap();
    apply(&server, &lake.store, &all.iter().cloned().collect()).await.unwrap();
    let days = lake.store.list(&layout().events()).await.unwrap().len();
    assert!(feed().await + days <= 2, "{days}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_costs_a_bucket_a_bounded_number_of_requests() {
    let (server, lake, all) = changed(Backend::Memory).await;
    edit(&server, 0, &all[1]);
    edit(&server, 0, &all[2]);
    let before = lake.store.usage();
    apply(&server, &lake.store, &[all[1].clone(), all[2].clone()].into()).await.unwrap();
    let after = lake.store.usage();
    let (reads, puts) = (after.gets + after.heads - before.gets - before.heads, after.puts - before.puts);
    let lists = after.lists - before.lists;
    // Of the puts, one is for each table, and some for the intent, the lease, copies, segments, events and records.
    assert!(reads <= 60 && puts <= 35 && lists <= 20, "{reads} reads, {puts} puts, {lists} lists");
}
