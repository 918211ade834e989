#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rolegate_fuzz::signed::run(input));
