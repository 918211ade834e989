//! Key pairs for connections: the bits of new ones, and private keys sealed for the database and opened again.

use openssl::{
    ec::{Asn1Flag, EcGroup, EcKey},
    nid::Nid,
    pkey::PKey,
    rsa::Rsa,
};

use super::{Keys, sealed::NONCE};
use crate::{
    domain::{
        id::{ConnectionId, SpKeyId, TenantId},
        time::Timestamp,
    },
    saml::{Certificate, KeyPair, KeyPairError},
};

/// Which keys are made here. RSA decrypts too; an EC key only signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    #[default]
    Rsa3072,
    EcP256,
}

impl std::str::FromStr for Algorithm {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "rsa-3072" => Ok(Self::Rsa3072),
            "ec-p256" => Ok(Self::EcP256),
            _ => Err("rsa-3072 (signs and decrypts) or ec-p256 (only signs) was expected"),
        }
    }
}

/// How long a new certificate counts, unless somebody says otherwise.
pub const VALID_DAYS: i64 = 3 * 365;
pub const MOST_VALID_DAYS: i64 = 3650;
pub const SECONDS_OF_A_DAY: i64 = 86_400;

/// Makes a key pair with a certificate that it signs itself. It takes up to a second of computing for RSA.
///
/// # Errors
/// When openssl refuses.
pub fn generate(
    algorithm: Algorithm,
    common_name: &str,
    serial: u64,
    not_before: Timestamp,
    valid_secs: i64,
) -> Result<KeyPair, KeyPairError> {
    let key = match algorithm {
        Algorithm::Rsa3072 => PKey::from_rsa(Rsa::generate(3072)?)?,
        Algorithm::EcP256 => {
            let mut group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
            group.set_asn1_flag(Asn1Flag::NAMED_CURVE);
            PKey::from_ec_key(EcKey::generate(&group)?)?
        }
    };
    KeyPair::self_signed(key, common_name, serial, not_before, valid_secs)
}

/// Where a private key belongs; nothing else opens what was sealed for it, so that rows cannot be exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPlace {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    pub id: SpKeyId,
}

impl KeyPlace {
    fn purpose(self) -> String {
        format!("private key {} {} {}", self.tenant, self.connection, self.id)
    }
}

impl Keys {
    /// `nonce` must be random.
    #[must_use]
    pub fn seal_private_key(&self, place: KeyPlace, nonce: [u8; NONCE], pair: &KeyPair) -> String {
        self.seal(&place.purpose(), nonce, pair.private_der().expose())
    }

    /// The key pair of a row; `None` when its private key was sealed under another master key, for another row, or was changed.
    #[must_use]
    pub fn open_private_key(&self, place: KeyPlace, sealed: &str, certificate: Certificate) -> Option<KeyPair> {
        KeyPair::from_der(self.unseal_secret(&place.purpose(), sealed)?.expose(), certificate).ok()
    }

    /// The same private key under another master key; `None` as with [`Keys::open_private_key`].
    #[must_use]
    pub fn reseal_private_key(&self, next: &Self, place: KeyPlace, nonce: [u8; NONCE], sealed: &str) -> Option<String> {
        let plain = self.unseal_secret(&place.purpose(), sealed)?;
        Some(next.seal(&place.purpose(), nonce, plain.expose()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::saml::Key;

    fn place(n: u128) -> KeyPlace {
        let id = Uuid::from_u128;
        KeyPlace { tenant: TenantId::new(id(1)), connection: ConnectionId::new(id(2)), id: SpKeyId::new(id(n)) }
    }

    #[test]
    fn both_kinds_are_made_and_come_back_from_their_seal_in_their_place_alone() {
        let (keys, now) = (Keys::new([1; 32]), Timestamp::from_millis(1_772_500_000_000));
        for (algorithm, kind) in [(Algorithm::Rsa3072, Key::Rsa { bits: 3072 }), (Algorithm::EcP256, Key::Ec { curve: "P-256" })] {
            let pair = generate(algorithm, "acme", 7, now, 86_400).unwrap();
            let certificate = pair.certificate().clone();
            assert_eq!((certificate.key(), certificate.subject()), (kind, "CN=acme"));
            assert_eq!((certificate.not_before(), certificate.not_after()), (now, now.plus_secs(86_400)));
            let sealed = keys.seal_private_key(place(3), [9; 12], &pair);
            let opened = keys.open_private_key(place(3), &sealed, certificate.clone()).unwrap();
            assert_eq!(opened.private_der().expose(), pair.private_der().expose());
            assert!(keys.open_private_key(place(4), &sealed, certificate.clone()).is_none(), "the row of another key");
            let next = Keys::new([2; 32]);
            assert!(next.open_private_key(place(3), &sealed, certificate.clone()).is_none());
            let resealed = keys.reseal_private_key(&next, place(3), [8; 12], &sealed).unwrap();
            assert!(next.open_private_key(place(3), &resealed, certificate).is_some());
        }
    }
}
