//! Servers, disks and people that get in the way of an ingest.
