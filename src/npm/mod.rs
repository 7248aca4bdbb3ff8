//! The types of the registry's protocol: names, revisions, rows, changes, documents and answers.
//!
//! Pure data. Nothing here reads a file, a socket or a clock.

mod answer;
mod change;
mod changes_page;
mod days;
mod doc_row;
mod downloads;
pub(crate) mod json_element;
pub mod json;
mod json_selection;
mod name;
mod name_list;
mod outcome;
pub mod packument;
mod packument_outline;
mod page;
mod page_decoder;
pub mod person;
pub mod quirk;
mod revision;
pub mod semver;
pub mod semver_range;
mod seq;
pub mod timestamp;

pub use answer::{Answer, Document, Representation, Validators};
pub use change::{Change, ChangeKind};
pub use changes_page::{ChangeRow, ChangesPage, ChangesQuery};
pub use days::{Days, day_after, day_number, day_of_number, days_between, parse_day};
pub use doc_row::DocRow;
pub use downloads::{DownloadCounts, DownloadsQuery, MAX_BULK_DAYS, MAX_BULK_NAMES, MAX_SINGLE_DAYS, NamedCounts};
pub use json_selection::{JsonSelection, member};
pub use name::{PackageName, scope};
pub use name_list::parse_name_list;
pub use outcome::{Fingerprint, Outcome};
pub use page::{MAX_PAGE_ROWS, Page, PageQuery};
pub use page_decoder::{ChangesDecoder, PageDecoder, RowsDecoder, RowsPage};
pub use quirk::QuirkCode;
pub use revision::{Revision, generation};
pub use seq::Seq;
