//! Changes some cells of a shard: only the chunks that have them are decoded, and encoded again. Not here: the form of a
//! chunk (`numbers`), and storing the shard (`shards`).

use std::ops::Range;

use bytes::Bytes;

use super::form::{ArrayForm, damaged};
use super::numbers::{ChunkDecoder, Number, NumberShard};
use crate::error::Result;

/// A shard whose cells change. It takes the memory of all its elements.
pub(super) struct ShardChange<'a, T> {
    form: &'a ArrayForm,
    path: &'a str,
    width: usize,
    elements: Vec<T>,
    /// The chunks as they are stored; `None` if the shard was decoded as a whole.
    stored: Option<StoredChunks<'a, T>>,
}

struct StoredChunks<'a, T> {
    numbers: NumberShard,
    shard: &'a [u8],
    places: Vec<Option<Range<u64>>>,
    is_decoded: Vec<bool>,
    decoder: ChunkDecoder<T>,
}

impl<'a, T: Number> ShardChange<'a, T> {
    /// Begins with a shard as it is stored at `path`; without one, all cells have the fill value. Fails with
    /// [`crate::error::ErrorKind::Lake`] if it is damaged.
    pub(super) fn new(form: &'a ArrayForm, path: &'a str, held: Option<&'a Bytes>) -> Result<ShardChange<'a, T>> {
        let width = form.as_matrix()?.1[1] as usize;
        let is_damaged = |cause| damaged(path, cause);
        let (elements, stored) = match (form.numbers(), held) {
            (None, Some(held)) => (form.decode_numbers(path, held)?, None),
            (None, None) => (vec![form.fill()?; form.shard_elements()], None),
            (Some(numbers), held) => {
                let shard = held.map_or(Default::default(), Bytes::as_ref);
                let places = match held {
                    Some(shard) => numbers.places(shard).map_err(is_damaged)?,
                    None => vec![None; numbers.chunks()],
                };
                let decoder = ChunkDecoder::new(numbers).map_err(is_damaged)?;
                let is_decoded = vec![false; numbers.chunks()];
                let stored = StoredChunks { numbers, shard, places, is_decoded, decoder };
                (vec![form.fill()?; form.shard_elements()], Some(stored))
            }
        };
        Ok(ShardChange { form, path, width, elements, stored })
    }

    /// Returns some cells of a row of the shard, to be changed.
    pub(super) fn cells(&mut self, row: usize, columns: Range<usize>) -> Result<&mut [T]> {
        if let Some(StoredChunks { numbers, shard, places, is_decoded, decoder }) = &mut self.stored {
            for number in numbers.chunks_of(row, &columns) {
                if std::mem::replace(&mut is_decoded[number], true) {
                    continue;
                }
                let Some(place) = &places[number] else { continue };
                let frame = &shard[place.start as usize..place.end as usize];
                let decoded = numbers.decode_chunk(number, frame, decoder, &mut self.elements);
                decoded.map_err(|cause| damaged(self.path, cause))?;
            }
        }
        Ok(&mut self.elements[row * self.width + columns.start..row * self.width + columns.end])
    }

    /// Encodes the shard; `None` if all cells have the fill value.
    pub(super) fn encode(self) -> Result<Option<Bytes>> {
        let Some(StoredChunks { numbers, shard, places, is_decoded, .. }) = self.stored else {
            return self.form.encode_numbers(&self.elements);
        };
        numbers.encode_changed(&self.elements, self.form.fill()?, |number| {
            let frame = || places[number].as_ref().map(|place| &shard[place.start as usize..place.end as usize]);
            (!is_decoded[number]).then(frame)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::array::spec::ArraySpec;

    fn form() -> ArrayForm {
        let spec = ArraySpec {
            name: "x",
            data_type: "uint32",
            dimensions: &["row", "column"],
            shard: vec![6, 8],
            chunk: vec![2, 4],
            fill: json!(9),
            attributes: json!({}),
            separator: '/',
        };
        let group = json!({ "consolidated_metadata": { "metadata": { "x": spec.metadata(&[6, 8]) } } });
        ArrayForm::of_group(&group, "g", "x").unwrap()
    }

    #[test]
    fn only_the_chunks_that_change_are_decoded_and_the_shard_is_that_of_all_its_elements() {
        let form = form();
        let mut elements: Vec<u32> = (0..48).map(|cell| if cell < 16 { 9 } else { cell }).collect();
        let mut shard = form.encode_numbers(&elements).unwrap().unwrap().to_vec();
        // The first chunk that is stored, which nothing changes below, cannot be decoded.
        let whole = Bytes::from(shard.clone());
        shard[8] ^= 1;
        let damaged = Bytes::from(shard);
        let change = |held: &Bytes| -> Result<Option<Bytes>> {
            let mut change = ShardChange::<u32>::new(&form, "g/x/c/0/0", Some(held))?;
            change.cells(0, 3..4)?[0] = 1;
            change.cells(5, 6..8)?.copy_from_slice(&[2, 3]);
            assert_eq!(change.cells(5, 6..8)?, [2, 3]);
            change.encode()
        };
        (elements[3], elements[46], elements[47]) = (1, 2, 3);
        let expected = form.encode_numbers(&elements).unwrap().unwrap();
        assert_eq!(change(&whole).unwrap().unwrap(), expected);
        assert!(change(&damaged).unwrap().is_some());
        assert!(ShardChange::<u32>::new(&form, "p", Some(&damaged)).unwrap().cells(2, 1..2).is_err());
        assert!(ShardChange::<u32>::new(&form, "p", Some(&whole.slice(1..))).is_err());
    }

    #[test]
    fn a_shard_that_is_not_stored_begins_with_the_fill_value_and_ends_without_bytes() {
        let form = form();
        let mut change = ShardChange::<u32>::new(&form, "p", None).unwrap();
        assert_eq!(change.cells(4, 0..8).unwrap(), [9; 8]);
        assert_eq!(change.encode().unwrap(), None);
        let elements: Vec<u32> = (0..48).map(|cell| if cell == 10 { 7 } else { 9 }).collect();
        let stored = form.encode_numbers(&elements).unwrap();
        let mut change = ShardChange::<u32>::new(&form, "p", None).unwrap();
        change.cells(1, 2..3).unwrap()[0] = 7;
        assert_eq!(change.encode().unwrap(), stored);
        let mut change = ShardChange::<u32>::new(&form, "p", stored.as_ref()).unwrap();
        change.cells(1, 2..3).unwrap()[0] = 9;
        assert_eq!(change.encode().unwrap(), None);
    }
}
