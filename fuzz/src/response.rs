//! The pre-scan and the closed grammar, on any bytes: nothing is accepted where no certificate is trusted, and what it costs to refuse is
//! as bounded as the message.

use rolegate::saml::Work;

use super::sides::verify;

pub fn run(bytes: &[u8]) {
    let (judged, work) = Work::of(|| verify(bytes, &[]));
    assert!(judged.is_err());
    // What is decrypted is read by the same bounds.
    assert!(work.bytes <= 4 * bytes.len().max(1) && work.key_operations <= 1, "{work:?}");
    assert!(work.bytes_to_libxml == 0 && work.digests == 0, "{work:?}");
}
