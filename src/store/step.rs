//! The steps in which a store changes: what a death, or a full disk, comes between. Not here: doing them (`disk`), and
//! letting them fail (`failpoint`).

/// A step that changes a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// A folder is made on a disk.
    CreateFolder,
    /// A file is made, without bytes.
    CreateFile,
    /// Bytes are written into an open file.
    Write,
    /// The bytes of a file are made durable.
    SyncFile,
    /// A file takes the name of an object, and the place of the one that had it.
    Rename,
    /// The names in a folder are made durable.
    SyncFolder,
    /// An object is removed.
    Delete,
    /// A whole object is put into memory at once.
    Put,
}
