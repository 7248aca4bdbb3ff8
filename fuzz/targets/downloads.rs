//! Feeds random bytes to `checks::downloads`.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/fuzz/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::downloads(bytes));
