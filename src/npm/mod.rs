//! The registry's own words: names, revisions, rows, changes, documents and answers.
//!
//! Pure data. Nothing here reads a file, a socket or a clock.

mod answer;
mod change;
mod doc_row;
pub(crate) mod json_element;
mod name;
mod outcome;
mod page;
mod page_decoder;
mod revision;

pub use answer::{Answer, Document, Representation, Validators};
pub use change::{Change, ChangeKind};
pub use doc_row::DocRow;
pub use name::PackageName;
pub use outcome::Outcome;
pub use page::{MAX_PAGE_ROWS, Page, PageQuery};
pub use page_decoder::PageDecoder;
pub use revision::Revision;
