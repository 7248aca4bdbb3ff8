//! Looks for an error among the causes of another one, also below the engine's shared errors.

use std::error::Error as StdError;

use datafusion::error::DataFusionError;

/// Finds the first cause of type `T` in an error's chain, including the error itself.
pub(super) fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // The pointer of a shared error is itself an error, so the shared one needs its own search.
        if let Some(shared) = error.downcast_ref::<std::sync::Arc<DataFusionError>>() {
            return find(shared.as_ref());
        }
        next = error.source();
    }
    None
}
