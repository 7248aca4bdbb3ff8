//! The steps of a change to a store: a crash or a full disk comes between two of them. Not here: doing them (`disk`),
//! and letting them fail (`failpoint`).

/// A step that changes a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// Creates a folder on a disk.
    CreateFolder,
    /// Creates a file without bytes.
    CreateFile,
    /// Writes bytes into an open file.
    Write,
    /// Makes the bytes of a file durable.
    SyncFile,
    /// Renames a file to the name of an object, and replaces an existing file.
    Rename,
    /// Makes the names in a folder durable.
    SyncFolder,
    /// Removes an object.
    Delete,
    /// Puts a whole object into a bucket at once.
    Put,
    /// Begins a multipart upload.
    BeginUpload,
    /// Puts a part of an upload.
    PutPart,
    /// Makes an object of the parts of an upload.
    CompleteUpload,
    /// Removes the parts of an upload.
    AbortUpload,
}
