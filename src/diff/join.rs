//! The merge-join of this module's two functions: combines two sequences sorted by name, side by side.

use std::cmp::Ordering;
use std::iter::Peekable;

use crate::error::{Error, ErrorKind, Result};
use crate::npm::PackageName;

/// One name of either sequence, or of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pair<L, R> {
    /// Only in the left one.
    Left(L),
    /// Only in the right one.
    Right(R),
    /// In both.
    Both(L, R),
}

/// An item that is sorted by its name.
pub(super) trait Named {
    /// Returns the name.
    fn name(&self) -> &PackageName;
}

/// Checks one sequence while it is read.
struct Ordered<I: Iterator> {
    items: Peekable<I>,
    last: Option<PackageName>,
    /// The sequence's name in an error, and the error's kind.
    what: (&'static str, ErrorKind),
}

impl<T: Named, I: Iterator<Item = Result<T>>> Ordered<I> {
    fn take(&mut self) -> Result<Option<T>> {
        let Some(item) = self.items.next().transpose()? else { return Ok(None) };
        if let Some(last) = self.last.as_ref().filter(|last| *last >= item.name()) {
            let (what, kind) = self.what;
            return Err(Error::new(kind, format!("{what} are not in order: {:?} came after {last:?}", item.name())));
        }
        self.last = Some(item.name().clone());
        Ok(Some(item))
    }
}

/// Yields every name of two sequences once, in order. Ends after the first error.
pub(super) struct Join<L: Iterator, R: Iterator> {
    left: Ordered<L>,
    right: Ordered<R>,
    is_over: bool,
}

impl<L: Iterator, R: Iterator> Join<L, R> {
    /// Creates a join. `left_what` and `right_what` name the sequences in the error about one that is not strictly
    /// ascending.
    pub(super) fn new(
        left: L,
        left_what: (&'static str, ErrorKind),
        right: R,
        right_what: (&'static str, ErrorKind),
    ) -> Self {
        let left = Ordered { items: left.peekable(), last: None, what: left_what };
        let right = Ordered { items: right.peekable(), last: None, what: right_what };
        Join { left, right, is_over: false }
    }
}

impl<T: Named, U: Named, L: Iterator<Item = Result<T>>, R: Iterator<Item = Result<U>>> Join<L, R> {
    fn step(&mut self) -> Result<Option<Pair<T, U>>> {
        let order = match (self.left.items.peek(), self.right.items.peek()) {
            (None, None) => return Ok(None),
            (Some(Ok(left)), Some(Ok(right))) => left.name().cmp(right.name()),
            // An error is taken from the side that has it.
            (Some(Err(_)), _) | (Some(_), None) => Ordering::Less,
            (_, Some(_)) => Ordering::Greater,
        };
        Ok(match order {
            Ordering::Less => self.left.take()?.map(Pair::Left),
            Ordering::Greater => self.right.take()?.map(Pair::Right),
            Ordering::Equal => match (self.left.take()?, self.right.take()?) {
                (Some(left), Some(right)) => Some(Pair::Both(left, right)),
                (left, right) => left.map(Pair::Left).or(right.map(Pair::Right)),
            },
        })
    }
}

impl<T: Named, U: Named, L: Iterator<Item = Result<T>>, R: Iterator<Item = Result<U>>> Iterator for Join<L, R> {
    type Item = Result<Pair<T, U>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.step().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}
