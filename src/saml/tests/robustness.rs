//! What holds for every input.

use super::*;

#[test]
fn no_refusal_quotes_what_a_message_says_of_a_person() {
    for xml in [
        signed_then(Sign::Both, "ada@example.com", "SECRET\u{7}"),
        assertion_with("ada@example.com", "SECRET<x/>"),
        signed_then(Sign::Both, "ada@example.com", "SECRET&broken"),
        signed_then(Sign::Both, "ada@example.com", "<![CDATA[SECRET"),
        signed_then(Sign::Both, "ada@example.com", "SECRET"),
        signed_then(Sign::Both, "ada@example.com</saml:NameID>", "SECRET</saml:SECRET>"),
    ] {
        let refusal = verify(&xml).unwrap_err();
        assert!(!refusal.to_string().contains("SECRET"), "{refusal}");
    }
}

#[test]
fn many_threads_verify_at_once() {
    let (good, bad) = (RSA.issue(&message(), Sign::Both).unwrap(), signed_then(Sign::Both, "ada@", "eve@"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    verify(&good).unwrap();
                    assert_eq!(code(&bad), "signature");
                }
            });
        }
    });
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever one byte becomes, nothing else than what was signed is accepted.
    #[test]
    fn no_single_altered_byte_changes_what_is_accepted(at in 0.0..1.0f64, byte in 0x20u8..0x7f) {
        static GOOD: LazyLock<(String, Assertion)> = LazyLock::new(|| {
            let xml = RSA.issue(&message(), Sign::Assertion).unwrap();
            let assertion = verify(&xml).unwrap();
            (xml, assertion)
        });
        let (xml, expected) = &*GOOD;
        let mut bytes = xml.clone().into_bytes();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
        let index = (at * bytes.len() as f64) as usize;
        bytes[index] = byte;
        if let Ok(accepted) = verify(&String::from_utf8(bytes).unwrap()) {
            proptest::prop_assert_eq!(&accepted, expected);
        }
    }

    #[test]
    fn no_text_makes_the_scan_panic(text in "[<>&;\"'=a-z:!\\[\\]/? -]{0,80}") {
        let _ = verify(&text);
        let _ = IdpMetadata::parse(text.as_bytes());
    }
}
