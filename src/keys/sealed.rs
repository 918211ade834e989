//! Texts that are handed out and come back: sealed so that nobody else can read, make or change them (AES-256-GCM).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};

use super::Keys;
use crate::domain::secret::Secret;

pub(super) const NONCE: usize = 12;
const TAG: usize = 16;
/// Of a sealed text, before anything is made of it. Who takes them from strangers sets narrower bounds.
const LONGEST: usize = 16 << 20;

impl Keys {
    /// Seals bytes for one purpose. `nonce` must be random: two of one key must never be the same.
    #[must_use]
    pub fn seal(&self, purpose: &str, nonce: [u8; NONCE], plain: &[u8]) -> String {
        let mut tag = [0; TAG];
        let sealed = encrypt_aead(Cipher::aes_256_gcm(), self.derive(purpose).expose(), Some(&nonce), purpose.as_bytes(), plain, &mut tag);
        let sealed = sealed.expect("AES-256-GCM in memory fails only without memory");
        URL_SAFE_NO_PAD.encode([&nonce[..], &tag, &sealed].concat())
    }

    /// What was sealed for this purpose; `None` when it was not, or was changed.
    #[must_use]
    pub fn unseal(&self, purpose: &str, text: &str) -> Option<Vec<u8>> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, rest) = bytes.split_at_checked(NONCE)?;
        let (tag, sealed) = rest.split_at_checked(TAG)?;
        decrypt_aead(Cipher::aes_256_gcm(), self.derive(purpose).expose(), Some(nonce), purpose.as_bytes(), sealed, tag).ok()
    }

    /// As [`Keys::unseal`], for what must leave no trace in memory.
    #[must_use]
    pub fn unseal_secret(&self, purpose: &str, text: &str) -> Option<Secret<Vec<u8>>> {
        self.unseal(purpose, text).map(Secret::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_purpose_open_what_was_sealed() {
        let keys = Keys::new([1; 32]);
        let text = keys.seal("cursor", [7; NONCE], b"u1");
        assert_eq!(keys.unseal("cursor", &text).as_deref(), Some(&b"u1"[..]));
        assert_eq!(keys.unseal("other", &text), None);
        assert_eq!(Keys::new([2; 32]).unseal("cursor", &text), None);
        for wrong in ["", "x", "%%%", &text[1..], &format!("{text}A"), &"A".repeat(LONGEST + 1)] {
            assert_eq!(keys.unseal("cursor", wrong), None, "{wrong}");
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(keys.unseal("cursor", &URL_SAFE_NO_PAD.encode(&bytes)), None);
            bytes[at] ^= 1;
        }
        assert_eq!(keys.unseal("cursor", &keys.seal("cursor", [8; NONCE], b"")).as_deref(), Some(&b""[..]));
    }
}
