//! Decryption. An edited message is refused, or says what was encrypted; what a stranger encrypts for us is refused, whatever it is.

use std::sync::LazyLock;

use rolegate::saml::issuer::Sign;

use super::sides::{KEY, PINNED, edited, for_us, message, verify};

static INNER: LazyLock<String> = LazyLock::new(|| KEY.issue_encrypted(&message(), Sign::Assertion, &for_us()).unwrap());
static BOTH: LazyLock<String> = LazyLock::new(|| KEY.issue_encrypted(&message(), Sign::Both, &for_us()).unwrap());

/// The first byte says how the rest is meant: as edits of a message whose assertion alone is signed, of one that is signed twice, or as
/// what a stranger encrypts.
pub fn run(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let message: &str = match how % 3 {
        0 => &INNER,
        1 => &BOTH,
        _ => {
            let octets = String::from_utf8_lossy(rest);
            let Ok(theirs) = KEY.issue_around(&message(), Sign::Nothing, &octets, &for_us()) else { return };
            assert!(verify(theirs.as_bytes(), &*PINNED).is_err());
            return;
        }
    };
    if let Ok(accepted) = verify(&edited(message, rest), &*PINNED) {
        assert_eq!(Ok(accepted), verify(message.as_bytes(), &*PINNED));
    }
}
