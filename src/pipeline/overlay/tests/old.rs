//! Deltas that an earlier version wrote: every command that folds renews them first.

use std::io::Cursor;

use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::lake::Record;
use crate::pipeline::{FoldOptions, RebuildOptions, fold, rebuild};

/// Takes a column out of the versions of a delta, as if the version that wrote it did not know the column.
async fn make_old(store: &Store, number: usize) {
    let mut record: Overlay = store.read_record(&layout().overlay()).await.unwrap().unwrap();
    let own = record.deltas[number].layout(&layout());
    let path = own.shard(TableKind::Versions, &Delta::PARTITION);
    let bytes = store.get(&path).await.unwrap().unwrap();
    let mut batches = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
        let mut batch = batch.unwrap();
        batch.remove_column(batch.schema().index_of("dependency_count").unwrap());
        batches.push(batch);
    }
    let mut file = Cursor::new(Vec::new());
    let mut writer = ArrowWriter::try_new(&mut file, batches[0].schema(), None).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    let bytes = Bytes::from(file.into_inner());
    let path_of_manifest = own.manifest(&Delta::PARTITION);
    let text = store.get(&path_of_manifest).await.unwrap().unwrap();
    let mut manifest: Value = serde_json::from_slice(&text).unwrap();
    let shard = manifest["shards"]["versions"].as_object_mut().unwrap();
    shard.remove("schema_version");
    shard.insert("size_bytes".to_owned(), bytes.len().into());
    shard.insert("sha256".to_owned(), format!("{:x}", Sha256::digest(&bytes)).into());
    let text = serde_json::to_vec(&manifest).unwrap();
    record.deltas[number].manifest_sha256 = format!("{:x}", Sha256::digest(&text));
    store.put(&path, bytes).await.unwrap();
    store.put(&path_of_manifest, text).await.unwrap();
    store.put(&layout().overlay(), record.to_json().unwrap()).await.unwrap();
}

/// Makes a lake with three deltas, of which an earlier version wrote the second one, in which one name is gone.
async fn old_overlay(server: &SampleServer) -> Lake {
    let lake = fresh(server).await;
    let all = names(server);
    for changed in [[(0, &all[0]), (0, &all[10])], [(0, &all[1]), (5, &all[2])], [(0, &all[0]), (0, &all[19])]] {
        changed.iter().for_each(|(kind, name)| edit(server, *kind, name));
        apply(server, &lake.store, &changed.iter().map(|(_, name)| (*name).clone()).collect()).await.unwrap();
    }
    make_old(&lake.store, 1).await;
    lake
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_of_an_earlier_version_are_renewed_before_they_are_merged_or_folded() {
    for command in ["follow", "fold", "rebuild", "ingest"] {
        let server = server(20);
        let lake = old_overlay(&server).await;
        let store = &lake.store;
        match command {
            "follow" => drop(tend(&server, store, NEVER).await.unwrap()),
            "fold" => {
                let options = FoldOptions { origin: None, policy: FoldPolicy::EVERYTHING };
                fold(store, &options, Arc::default(), CancellationToken::new()).await.unwrap();
            }
            "rebuild" => {
                rebuild(store, &RebuildOptions::default(), Arc::default(), CancellationToken::new()).await.unwrap();
            }
            _ => {
                edit(&server, 0, &names(&server)[3]);
                run(&server, store, &PIVOTS).await.unwrap();
            }
        }
        let view = OverlayView::read(store, &layout(), &OverlayView::empty()).await.unwrap();
        assert!(view.deltas.iter().all(|held| !held.manifest.is_old()), "{command}");
        let fresh = fresh(&server).await;
        assert_same_rows(store, &fresh.store, &format!("after {command}")).await;
        assert_folds_into(&server, store, &fresh.store, &format!("after {command}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_a_renewal_no_change_is_lost() {
    let server = server(20);
    let before = old_overlay(&server).await.store.contents().await;
    let renew = async |store: Store| tend(&server, &store, NEVER).await.map(drop);
    let quiet = Backend::Memory.lake(&before).await;
    renew(quiet.store.clone()).await.unwrap();
    let fresh = fresh(&server).await;
    let mut tried = 0;
    for step in quiet.store.take_reached().iter().step_by(5) {
        let lake = Backend::Memory.lake(&before).await;
        let Some(store) = dies_and_goes_on(&lake, step, false, renew).await else { continue };
        assert_same_rows(&store, &fresh.store, &format!("after a death at {step}")).await;
        assert_folds_into(&server, &store, &fresh.store, &format!("after a death at {step}")).await;
        tried += 1;
    }
    assert!(tried >= 10, "{tried}");
}
