//! The integration tests: one binary, because each one links all of DataFusion.
