//! What the platform posts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kabar_tests::inputs::webhook(bytes));
