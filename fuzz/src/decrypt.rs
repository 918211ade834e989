//! Decryption. An edited message is refused, or says what was encrypted; what a stranger encrypts for us is refused, whatever it is.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::saml::issuer::{ContentCipher, Encryption, Sign};

use super::sides::{KEY, PINNED, edited, for_us, message, verify};

static INNER: LazyLock<String> = LazyLock::new(|| KEY.issue_encrypted(&message(), Sign::Assertion, &for_us()).unwrap());
static BOTH: LazyLock<String> = LazyLock::new(|| KEY.issue_encrypted(&message(), Sign::Both, &for_us()).unwrap());
static GCM: LazyLock<String> = LazyLock::new(|| KEY.issue_encrypted(&message(), Sign::Nothing, &for_us()).unwrap());
static CBC: LazyLock<String> = LazyLock::new(|| {
    let encryption = Encryption { content: ContentCipher::Aes128Cbc, ..for_us() };
    KEY.issue_encrypted(&message(), Sign::Nothing, &encryption).unwrap()
});

/// The first byte says how the rest is meant: as edits of a message whose assertion alone is signed, or of one that is signed twice; as what
/// a stranger encrypts; as a ciphertext for AES-GCM, or for AES-CBC in a response that its issuer signs all the same.
pub fn run(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else { return };
    let message = match how % 5 {
        0 => return edit(&INNER, rest),
        1 => return edit(&BOTH, rest),
        2 => KEY.issue_around(&message(), Sign::Nothing, &String::from_utf8_lossy(rest), &for_us()).ok(),
        3 => Some(enclosing(&GCM, rest)),
        _ => KEY.sign(&enclosing(&CBC, rest), &message().response_id).ok(),
    };
    assert!(message.is_none_or(|message| verify(message.as_bytes(), &*PINNED).is_err()));
}

fn edit(message: &str, script: &[u8]) {
    if let Ok(accepted) = verify(&edited(message, script), &*PINNED) {
        assert_eq!(Ok(accepted), verify(message.as_bytes(), &*PINNED));
    }
}

/// The message with another ciphertext.
fn enclosing(message: &str, ciphertext: &[u8]) -> String {
    const OPEN: &str = "<xenc:CipherValue>";
    let start = message.rfind(OPEN).unwrap() + OPEN.len();
    let end = start + message[start..].find('<').unwrap();
    format!("{}{}{}", &message[..start], STANDARD.encode(ciphertext), &message[end..])
}
