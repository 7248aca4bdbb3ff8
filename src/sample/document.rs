//! One revision of a package's document and its served forms. Each form is made once, at the first request for it.
//!
//! Not here: the table of packages (`world.rs`) and the choice of a form (`packument.rs`).

use std::io::Write;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::abbreviated::abbreviate;
use super::random::hash;

/// npm's CDN compresses at zlib's default level.
const DOCUMENT_LEVEL: u32 = 6;
/// Pages are made again for every request, so a quick level pays.
const PAGE_LEVEL: u32 = 1;

type Recipe = Box<dyn Fn() -> Vec<u8> + Send + Sync>;

/// A revision's bytes in both forms.
pub(super) struct Document {
    recipe: Option<Recipe>,
    full: OnceLock<Form>,
    abbreviated: OnceLock<Form>,
}

/// One representation: its bytes, their gzip and their entity tag.
pub(super) struct Form {
    plain: Bytes,
    gzip: OnceLock<Bytes>,
    tag: OnceLock<String>,
}

impl Document {
    /// Makes a document that is served byte for byte.
    pub(super) fn from_bytes(full: Bytes) -> Self {
        Document { recipe: None, full: OnceLock::from(Form::new(full)), abbreviated: OnceLock::new() }
    }

    /// Makes a document that is generated at the first request for it.
    pub(super) fn from_recipe(recipe: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Self {
        Document { recipe: Some(Box::new(recipe)), full: OnceLock::new(), abbreviated: OnceLock::new() }
    }

    /// Returns the same full form with the given abbreviated form instead of a derived one.
    pub(super) fn with_abbreviated(&self, abbreviated: Bytes) -> Self {
        let mut document = Document::from_bytes(self.full().plain.clone());
        document.abbreviated = OnceLock::from(Form::new(abbreviated));
        document
    }

    pub(super) fn full(&self) -> &Form {
        self.full.get_or_init(|| Form::new(self.recipe.as_ref().map(|make| make()).unwrap_or_default().into()))
    }

    pub(super) fn abbreviated(&self) -> &Form {
        self.abbreviated.get_or_init(|| Form::new(abbreviate(&self.full().plain)))
    }

    /// Returns whether this form can be served without deriving or compressing.
    pub(super) fn is_ready(&self, abbreviated: bool, compressed: bool) -> bool {
        let form = if abbreviated { self.abbreviated.get() } else { self.full.get() };
        form.is_some_and(|form| form.tag.get().is_some() && (!compressed || form.gzip.get().is_some()))
    }
}

impl Form {
    fn new(plain: Bytes) -> Self {
        Form { plain, gzip: OnceLock::new(), tag: OnceLock::new() }
    }

    pub(super) fn plain(&self) -> &Bytes {
        &self.plain
    }

    pub(super) fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| compress(&self.plain, DOCUMENT_LEVEL))
    }

    /// Returns the opaque part of the entity tag: a hash of the bytes, so equal bytes have equal tags.
    pub(super) fn tag(&self) -> &str {
        self.tag.get_or_init(|| format!("{:032x}", hash(&self.plain)))
    }
}

/// Compresses a page's body with gzip.
pub(super) fn compress_page(body: &[u8]) -> Bytes {
    compress(body, PAGE_LEVEL)
}

fn compress(plain: &[u8], level: u32) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4 + 64), Compression::new(level));
    // Writing to memory cannot fail; the reader's decoder would reject an empty body at once.
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    written.unwrap_or_default().into()
}
