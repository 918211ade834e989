//! Assertions that were encrypted for us.

use std::fmt;

use openssl::{
    pkey::{PKey, Private},
    sha::sha256,
};

use super::key_pair::KeyPair;
use crate::domain::{id::SpKeyId, secret::Secret};

/// A private key that assertions may be encrypted for.
#[derive(Clone)]
pub struct DecryptionKey {
    pub id: SpKeyId,
    key: PKey<Private>,
    /// Answers in the key's stead when a wrapped key cannot be unwrapped, so that nobody can tell.
    rejection: Secret<[u8; 32]>,
}

impl DecryptionKey {
    /// `None` for keys that only sign: nobody encrypts for EC keys in this profile.
    #[must_use]
    pub fn of(id: SpKeyId, pair: &KeyPair) -> Option<Self> {
        let rejection = Secret::new(sha256(&[b"rolegate/1 rejection ", &pair.private_der().expose()[..]].concat()));
        pair.is_rsa().then(|| Self { id, key: pair.key().clone(), rejection })
    }
}

impl fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptionKey").field("id", &self.id).finish_non_exhaustive()
    }
}
