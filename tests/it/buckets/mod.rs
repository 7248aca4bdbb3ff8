//! Lakes in buckets: the servers that stand in for S3 and Google Cloud Storage, the store over them, and the binary.

/// The servers do as the documentation of their originals says.
mod servers;
