//! A private key with the certificate that others know it by: what messages are signed with. The bits of a new key are made elsewhere;
//! where keys are kept, and which one signs, is not known here.

use std::fmt;

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ecdsa::EcdsaSig,
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    sign::Signer,
    x509::{X509, X509NameBuilder},
};
use zeroize::Zeroizing;

use super::certificate::{Certificate, CertificateError, Key};
use crate::domain::{secret::Secret, time::Timestamp};

/// A private key and its certificate, which belong together.
#[derive(Clone)]
pub struct KeyPair {
    key: PKey<Private>,
    certificate: Certificate,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyPairError {
    #[error(
        "this is not a private key in PEM: -----BEGIN PRIVATE KEY----- (or RSA PRIVATE KEY, or EC PRIVATE KEY) was expected; \
         `openssl pkey -in FILE` writes it"
    )]
    NotAKey,
    #[error("the private key is protected by a passphrase: take it off first with `openssl pkey -in FILE -out PLAIN`")]
    Passphrase,
    #[error("the certificate belongs to another private key: bring the two that were made together")]
    Mismatch,
    #[error("{}", longer_than(*.0))]
    TooLong(u32),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("openssl refused to make a key or certificate")]
    OpenSsl(#[from] ErrorStack),
}

fn longer_than(bits: u32) -> String {
    format!("the RSA key has {bits} bits, and every sign-in would wait for it: {MOST_RSA_BITS} are the most; 3072 are enough")
}

/// Decryption grows with the cube of a key's length.
const MOST_RSA_BITS: u32 = 4096;

impl KeyPair {
    /// Reads both from PEM; they may stand in one text.
    pub fn from_pem(private_key: &str, certificate: &str) -> Result<Self, KeyPairError> {
        if private_key.contains("ENCRYPTED") {
            return Err(KeyPairError::Passphrase);
        }
        // With a callback, because openssl would otherwise ask at the terminal.
        let key = PKey::private_key_from_pem_callback(private_key.as_bytes(), |_| Ok(0)).map_err(|_| KeyPairError::NotAKey)?;
        Self::new(key, Certificate::parse(&without_keys(certificate))?)
    }

    /// Reads the DER of [`KeyPair::private_der`].
    pub fn from_der(private_key: &[u8], certificate: Certificate) -> Result<Self, KeyPairError> {
        Self::new(PKey::private_key_from_der(private_key).map_err(|_| KeyPairError::NotAKey)?, certificate)
    }

    fn new(key: PKey<Private>, certificate: Certificate) -> Result<Self, KeyPairError> {
        if let Key::Rsa { bits } = certificate.key()
            && bits > MOST_RSA_BITS
        {
            return Err(KeyPairError::TooLong(bits));
        }
        let belongs = X509::from_der(certificate.der())?.public_key()?.public_eq(&key);
        if belongs { Ok(Self { key, certificate }) } else { Err(KeyPairError::Mismatch) }
    }

    /// Gives a key a certificate that it signs itself.
    pub fn self_signed(
        key: PKey<Private>,
        common_name: &str,
        serial: u64,
        not_before: Timestamp,
        valid_secs: i64,
    ) -> Result<Self, KeyPairError> {
        let mut name = X509NameBuilder::new()?;
        // X.520 bounds a common name to 64 characters.
        name.append_entry_by_nid(Nid::COMMONNAME, &common_name.chars().take(64).collect::<String>())?;
        let name = name.build();
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        let serial = BigNum::from_dec_str(&serial.to_string())?.to_asn1_integer()?;
        builder.set_serial_number(&serial)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_pubkey(&key)?;
        let from = not_before.millis().div_euclid(1000);
        builder.set_not_before(&*Asn1Time::from_unix(from)?)?;
        builder.set_not_after(&*Asn1Time::from_unix(from + valid_secs)?)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Self::new(key, Certificate::from_der(&builder.build().to_der()?)?)
    }

    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The private key, to be sealed and kept.
    #[must_use]
    pub fn private_der(&self) -> Secret<Vec<u8>> {
        Secret::new(self.key.private_key_to_der().expect("a key in memory is written to memory"))
    }

    pub(super) fn key(&self) -> &PKey<Private> {
        &self.key
    }

    pub(super) fn is_rsa(&self) -> bool {
        matches!(self.certificate.key(), Key::Rsa { .. })
    }

    /// RSA (PKCS #1 v1.5) or ECDSA with SHA-256. For ECDSA the value is r and s beside one another, as XML Signature has it (RFC 4051,
    /// section 2.3.6), also where it does not stand in XML.
    pub(super) fn sign_octets(&self, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        let value = signer.sign_oneshot_to_vec(octets)?;
        if self.is_rsa() {
            return Ok(value);
        }
        let width = coordinate_bytes(self.key.bits());
        let signature = EcdsaSig::from_der(&value)?;
        Ok([signature.r().to_vec_padded(width)?, signature.s().to_vec_padded(width)?].concat())
    }

    /// The form in which xmlsec takes it.
    pub(super) fn traditional_der(&self) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        self.key.private_key_to_der().map(Zeroizing::new)
    }
}

/// Bytes of each half of an ECDSA signature on a curve of so many bits.
pub(super) fn coordinate_bytes(bits: u32) -> i32 {
    i32::try_from(bits.div_ceil(8)).expect("no curve is that large")
}

/// A file that holds both is fine as the source of a certificate.
fn without_keys(pem: &str) -> String {
    const END: &str = "-----END CERTIFICATE-----";
    match pem.find("-----BEGIN CERTIFICATE-----") {
        Some(at) => {
            let rest = &pem[at..];
            rest.rfind(END).map_or_else(|| rest.to_owned(), |end| rest[..end + END.len()].to_owned())
        }
        None => pem.to_owned(),
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
