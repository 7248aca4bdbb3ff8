//! Checks `releases.zarr`: the sum of its cells is the number of versions that its metadata says.

use futures::StreamExt;

use super::look::{Look, at_once, read_with};
use super::{ArrayExtent, ArrayFault};
use crate::array::form::ArrayForm;
use crate::array::releases::{COUNTS, MONTH, VERSIONS, first_days};
use crate::error::Result;

impl Look<'_> {
    pub(super) async fn check_releases(&mut self) -> Result<()> {
        self.check_coordinate(MONTH, first_days).await?;
        let Some(form) = self.form(COUNTS).filter(|_| self.extent == ArrayExtent::Whole) else { return Ok(()) };
        let (&[rows, months], &[shard_rows, shard_months]) = (form.shape(), form.shard_shape().as_slice()) else {
            self.find(self.group.path(), ArrayFault::Metadata, format!("{COUNTS} has not two dimensions"));
            return Ok(());
        };
        let store = self.store.clone();
        let sums = form.places().into_iter().map(|place| {
            let (store, form) = (store.clone(), form.clone());
            async move {
                let path = form.path(&place);
                let inside = |at: u64, length: u64, shard: u64| length.saturating_sub(at * shard);
                let (rows, months) = (inside(place[0], rows, shard_rows), inside(place[1], months, shard_months));
                let sum = move |cells: Vec<u32>| {
                    // A copy that died has written shards before the metadata that says how much of them counts.
                    let inside = (0u64..).zip(cells).filter(|(cell, _)| {
                        let (row, month) = (cell / shard_months, cell % shard_months);
                        row < rows && month < months
                    });
                    inside.map(|(_, count)| u64::from(count)).sum::<u64>()
                };
                read_with(&store, &form, &path, ArrayForm::decode_numbers, sum).await
            }
        });
        let mut sums = std::pin::pin!(at_once(sums));
        let (mut all, mut is_whole) = (0, true);
        while let Some(summed) = sums.next().await {
            match summed? {
                Ok(sum) => all += sum.unwrap_or_default(),
                Err(finding) => {
                    is_whole = false;
                    self.findings.push(finding);
                }
            }
        }
        let said = self.stored.json()["attributes"][VERSIONS].as_u64();
        if is_whole && self.stored.is_settled() && said != Some(all) {
            let said = said.map_or("nothing".to_owned(), |said| said.to_string());
            let reason = format!(
                "the cells have {all} versions, and the metadata says {said}: a shard is lost, or older; all-docs arrays makes it again"
            );
            self.find(form.path(&[0, 0]), ArrayFault::Account, reason);
        }
        Ok(())
    }
}
