//! CSV files of recipients.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kabar_tests::inputs::recipients(bytes));
