//! Any bytes as a stream of requests, and as a chunked body: the entries tell what is claimed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    mcpool::transport::http_fuzz::requests(bytes);
    mcpool::transport::http_fuzz::chunks(bytes);
});
