#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wakeline_net::fuzzing::tcp(bytes));
