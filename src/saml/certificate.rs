//! X.509 certificates as containers of a pinned public key: fingerprint, validity and kind of key. No chain is built and no issuer
//! asked; trust is that an owner put the certificate there.

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    hash::MessageDigest,
    nid::Nid,
    pkey::{Id, PKeyRef, Public},
    x509::{X509, X509NameRef},
};

use crate::domain::time::Timestamp;

/// The key of a certificate, of a kind and size that this product verifies with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Rsa { bits: u32 },
    Ec { curve: &'static str },
}

/// A certificate that was read and found usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    fingerprint: String,
    subject: String,
    not_before: Timestamp,
    not_after: Timestamp,
    key: Key,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("this is not an X.509 certificate: PEM (-----BEGIN CERTIFICATE-----) or the base64 of its DER was expected")]
    NotACertificate,
    #[error("there are {0} certificates in the text: add them one at a time")]
    Several(usize),
    #[error("this is a private key, which belongs to the identity provider alone: paste its certificate")]
    PrivateKey,
    #[error("the certificate's RSA key has {0} bits: at least 2048 are needed, make a new key at the identity provider")]
    WeakRsa(u32),
    #[error("the certificate's key is of a kind that is not supported: use RSA of 2048 bits or more, or EC on P-256, P-384 or P-521")]
    UnsupportedKey,
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

impl Certificate {
    /// Reads PEM, or the base64 of DER as metadata holds it (white space is allowed in it).
    pub fn parse(text: &str) -> Result<Self, CertificateError> {
        if text.contains("PRIVATE KEY-----") {
            return Err(CertificateError::PrivateKey);
        }
        let body = match text.matches(BEGIN).count() {
            0 => text,
            1 => text
                .split_once(BEGIN)
                .and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE-----"))
                .map(|(body, _)| body)
                .ok_or(CertificateError::NotACertificate)?,
            several => return Err(CertificateError::Several(several)),
        };
        let compact: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(compact).map_err(|_| CertificateError::NotACertificate)?;
        Self::from_der(&der)
    }

    /// Reads DER; the certificate keeps the canonical encoding.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let unreadable = |_| CertificateError::NotACertificate;
        let x509 = X509::from_der(der).map_err(unreadable)?;
        let der = x509.to_der().map_err(unreadable)?;
        let digest = x509.digest(MessageDigest::sha256()).map_err(unreadable)?;
        let key = key_of(&*x509.public_key().map_err(|_| CertificateError::UnsupportedKey)?)?;
        Ok(Self {
            fingerprint: hex(&digest),
            subject: subject_of(x509.subject_name()),
            not_before: time_of(x509.not_before()).ok_or(CertificateError::NotACertificate)?,
            not_after: time_of(x509.not_after()).ok_or(CertificateError::NotACertificate)?,
            der,
            key,
        })
    }

    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER, 64 digits of lower-case hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// `CN=…, O=…`, for people.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    #[must_use]
    pub fn to_pem(&self) -> String {
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in self.to_base64().as_bytes().chunks(64) {
            pem.extend(line.iter().map(|b| char::from(*b)));
            pem.push('\n');
        }
        pem + "-----END CERTIFICATE-----\n"
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

fn key_of(key: &PKeyRef<Public>) -> Result<Key, CertificateError> {
    match key.id() {
        Id::RSA if key.bits() >= 2048 => Ok(Key::Rsa { bits: key.bits() }),
        Id::RSA => Err(CertificateError::WeakRsa(key.bits())),
        Id::EC => {
            let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
            match curve {
                Some(Nid::X9_62_PRIME256V1) => Ok(Key::Ec { curve: "P-256" }),
                Some(Nid::SECP384R1) => Ok(Key::Ec { curve: "P-384" }),
                Some(Nid::SECP521R1) => Ok(Key::Ec { curve: "P-521" }),
                _ => Err(CertificateError::UnsupportedKey),
            }
        }
        _ => Err(CertificateError::UnsupportedKey),
    }
}

fn time_of(time: &Asn1TimeRef) -> Option<Timestamp> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    Some(Timestamp::from_millis((i64::from(since.days) * 86_400 + i64::from(since.secs)) * 1000))
}

fn subject_of(name: &X509NameRef) -> String {
    let parts = name.entries().filter_map(|entry| {
        let value = entry.data().to_string().ok()?;
        let label = entry.object().nid().short_name().unwrap_or("?").to_owned();
        Some(format!("{label}={}", value.chars().filter(|c| !c.is_control()).take(120).collect::<String>()))
    });
    parts.collect::<Vec<_>>().join(", ")
}
