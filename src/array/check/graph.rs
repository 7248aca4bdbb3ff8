//! Checks `dependency_graph.zarr`: both directions are compressed sparse rows, and one is the transpose of the other.

use futures::StreamExt;

use super::look::{Decode, Look, at_once, read};
use super::{ArrayExtent, ArrayFault};
use crate::array::form::ArrayForm;
use crate::array::graph::{Direction, EDGE_KINDS, IN, IN_LAKE, OUT};
use crate::error::Result;

/// The edges of one direction, as a sum that does not depend on their order.
#[derive(Debug, PartialEq, Eq)]
struct Sum {
    edges: u64,
    hash: u128,
}

impl Look<'_> {
    pub(super) async fn check_graph(&mut self) -> Result<()> {
        if self.extent == ArrayExtent::Names {
            for name in [OUT.indptr, IN.indptr] {
                let Some(form) = self.form(name) else { continue };
                let last = form.shape().first().copied().unwrap_or_default().saturating_sub(1)
                    / form.shard_elements().max(1) as u64;
                let path = form.path(&[last]);
                if self.edges(OUT.indices) > 0 && !self.has(&path) {
                    self.find(path, ArrayFault::Missing, "it is gone, and the graph has edges");
                }
            }
            return Ok(());
        }
        let Some(nodes) = self.form(OUT.indptr).map(|form| form.shape().iter().product::<u64>().saturating_sub(1))
        else {
            return Ok(());
        };
        let Some(out) = self.check_direction(&OUT, nodes, true).await? else { return Ok(()) };
        let Some(back) = self.check_direction(&IN, nodes, false).await? else { return Ok(()) };
        if out != back {
            let Some(form) = self.form(IN.indices) else { return Ok(()) };
            let reason = "the edges of the one direction are not those of the other: an object is lost, or another one";
            self.find(form.path(&[0]), ArrayFault::Account, reason);
        }
        Ok(())
    }

    fn edges(&mut self, name: &str) -> u64 {
        self.form(name).map_or(0, |form| form.shape().iter().product())
    }

    /// Checks one direction. Returns `None`, with findings, if it is faulty.
    async fn check_direction(&mut self, direction: &Direction, nodes: u64, is_out: bool) -> Result<Option<Sum>> {
        let forms = [direction.indptr, direction.indices, direction.kind].map(|name| self.form(name));
        let [Some(indptr_form), Some(indices_form), Some(kinds_form)] = forms else { return Ok(None) };
        let (Some(indptr), Some(kinds)) = (
            self.read_all(&indptr_form, ArrayForm::decode_numbers::<i64>).await?,
            self.read_all(&kinds_form, ArrayForm::decode_numbers::<u8>).await?,
        ) else {
            return Ok(None);
        };
        let edges = self.edges(direction.indices);
        let is_right = indptr.len() as u64 == nodes + 1
            && indptr.first() == Some(&0)
            && indptr.last().is_some_and(|&last| last as u64 == edges)
            && indptr.is_sorted();
        if !is_right || kinds.len() as u64 != edges {
            let reason =
                "the places of edges do not grow from 0 to the number of edges: an object is lost, or another one";
            self.find(indptr_form.path(&[0]), ArrayFault::Account, reason);
            return Ok(None);
        }
        if let Some(&kind) = kinds.iter().find(|&&kind| usize::from(kind) >= EDGE_KINDS.len()) {
            self.find(kinds_form.path(&[0]), ArrayFault::Account, format!("there is no kind {kind} of edges"));
            return Ok(None);
        }
        if is_out && !self.check_in_lake(&indptr).await? {
            return Ok(None);
        }
        let shard_edges = indices_form.shard_elements() as u64;
        let (mut sum, mut node, mut before) = (Sum { edges, hash: 0 }, 0, (0, 0));
        for shard in 0..edges.div_ceil(shard_edges.max(1)) {
            let path = indices_form.path(&[shard]);
            let indices = match read(self.store, &indices_form, &path, ArrayForm::decode_numbers::<i32>).await? {
                Ok(Some(indices)) => indices,
                Ok(None) => vec![0; shard_edges as usize],
                Err(finding) => {
                    self.findings.push(finding);
                    return Ok(None);
                }
            };
            for (edge, index) in (shard * shard_edges..edges).zip(indices) {
                let first_node = node;
                while indptr[node + 1] as u64 <= edge {
                    node += 1;
                }
                let kind = kinds[edge as usize];
                if node != first_node {
                    before = (0, 0);
                }
                if index < 0 || index as u64 >= nodes || (index, kind) < before {
                    let reason = format!("edge {edge} leads to node {index}, out of the {nodes} nodes or out of order");
                    self.find(path, ArrayFault::Account, reason);
                    return Ok(None);
                }
                before = (index, kind);
                let (from, to) = if is_out { (node as u64, index as u64) } else { (index as u64, node as u64) };
                sum.hash = sum.hash.wrapping_add(mixed(from, to, kind));
            }
        }
        Ok(Some(sum))
    }

    /// Checks which nodes are in the lake: those with edges of their own are.
    async fn check_in_lake(&mut self, out_indptr: &[i64]) -> Result<bool> {
        let Some(form) = self.form(IN_LAKE) else { return Ok(false) };
        let Some(in_lake) = self.read_all(&form, ArrayForm::decode::<bool>).await? else { return Ok(false) };
        let rows = self.stored.json()["attributes"]["packages"].as_u64().unwrap_or_default() as usize;
        let is_wrong = |(node, is_in): (usize, &bool)| {
            let has_edges = out_indptr.get(node..node + 2).is_some_and(|bounds| bounds[0] < bounds[1]);
            (has_edges && !is_in) || (node >= rows && *is_in)
        };
        let wrong = in_lake.iter().enumerate().find(|&(node, is_in)| is_wrong((node, is_in)));
        if let Some((node, is_in)) = wrong {
            let reason = match is_in {
                true => format!("node {node} is in the lake, and has no row in package_index.parquet"),
                false => {
                    format!("node {node} depends on others, and is not in the lake: an object is lost, or another one")
                }
            };
            self.find(form.path(&[0]), ArrayFault::Account, reason);
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads an array of one dimension; `None`, with findings, if an object is faulty. An absent object is all fill values.
    async fn read_all<T: Default + Clone + Send + 'static>(
        &mut self,
        form: &ArrayForm,
        decode: Decode<T>,
    ) -> Result<Option<Vec<T>>> {
        let (length, shard) = (form.shape().iter().product::<u64>(), form.shard_elements() as u64);
        let store = self.store.clone();
        let reads = (0..length.div_ceil(shard.max(1))).map(|number| {
            let (store, form) = (store.clone(), form.clone());
            async move {
                let path = form.path(&[number]);
                read(&store, &form, &path, decode).await
            }
        });
        let mut reads = std::pin::pin!(at_once(reads));
        let (mut all, mut is_whole) = (Vec::with_capacity(length as usize), true);
        while let Some(read) = reads.next().await {
            match read? {
                Ok(Some(values)) => all.extend(values),
                Ok(None) => all.resize(all.len() + shard as usize, T::default()),
                Err(finding) => {
                    is_whole = false;
                    self.findings.push(finding);
                }
            }
        }
        all.truncate(length as usize);
        Ok(is_whole.then_some(all))
    }
}

/// Returns a number of 128 bits that two edges share by chance only.
fn mixed(from: u64, to: u64, kind: u8) -> u128 {
    // The finalizer of SplitMix64 (Steele et al., 2014).
    let mix = |mut bits: u64| {
        bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let low = mix(mix(from).wrapping_add(to)).wrapping_add(u64::from(kind));
    u128::from(mix(low)) << 64 | u128::from(mix(!low))
}
