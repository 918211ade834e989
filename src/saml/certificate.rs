//! X.509 certificates as containers of a pinned public key: fingerprint, validity and kind of key. No chain is built and no issuer
//! asked; trust is that an owner put the certificate there.

use std::fmt::{self, Write as _};

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

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::Ec { curve } => write!(f, "EC {curve}"),
        }
    }
}

/// A certificate that was read and found usable.
#[derive(Clone, PartialEq, Eq)]
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

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {})", self.subject, &self.fingerprint[..16])
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

#[cfg(test)]
mod tests {
    use openssl::{pkey::PKey, rsa::Rsa, x509::X509Builder};

    use super::{super::issuer::IssuerKey, *};

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-03T08:00:00Z").unwrap()
    }

    #[test]
    fn a_certificate_is_read_from_pem_and_from_base64_with_its_validity_and_key() {
        let key = IssuerKey::rsa("idp.example", now()).unwrap();
        let certificate = key.certificate();
        assert_eq!(&Certificate::parse(&certificate.to_pem()).unwrap(), certificate);
        assert_eq!(&Certificate::parse(&format!("text before\n{}", certificate.to_pem())).unwrap(), certificate);
        assert_eq!(&Certificate::parse(&certificate.to_base64()).unwrap(), certificate);
        let wrapped = certificate.to_base64().as_bytes().chunks(60).map(|l| str::from_utf8(l).unwrap()).collect::<Vec<_>>().join("\n   ");
        assert_eq!(&Certificate::parse(&wrapped).unwrap(), certificate);
        assert_eq!(certificate.not_before(), now());
        assert_eq!(certificate.not_after(), now().plus_secs(365 * 86_400));
        assert_eq!(certificate.subject(), "CN=idp.example");
        assert_eq!(certificate.key(), Key::Rsa { bits: 2048 });
        assert_eq!(certificate.fingerprint().len(), 64);
        assert_eq!(IssuerKey::ec("idp.example", now()).unwrap().certificate().key(), Key::Ec { curve: "P-256" });
    }

    #[test]
    fn what_is_no_usable_certificate_is_refused_with_the_cure() {
        let pem = IssuerKey::rsa("idp.example", now()).unwrap().certificate().to_pem();
        assert_eq!(Certificate::parse(&pem.repeat(2)).unwrap_err(), CertificateError::Several(2));
        assert_eq!(Certificate::parse("hello").unwrap_err(), CertificateError::NotACertificate);
        assert_eq!(Certificate::parse("").unwrap_err(), CertificateError::NotACertificate);
        assert_eq!(Certificate::parse(&pem.replace("-----END", "")).unwrap_err(), CertificateError::NotACertificate);
        let private = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap().private_key_to_pem_pkcs8().unwrap();
        assert_eq!(Certificate::parse(str::from_utf8(&private).unwrap()).unwrap_err(), CertificateError::PrivateKey);
        let of = |key: PKey<openssl::pkey::Private>| {
            let mut builder = X509Builder::new().unwrap();
            builder.set_pubkey(&key).unwrap();
            builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
            builder.set_not_after(&Asn1Time::from_unix(1).unwrap()).unwrap();
            builder.sign(&key, MessageDigest::sha256()).unwrap();
            Certificate::from_der(&builder.build().to_der().unwrap()).unwrap_err()
        };
        let weak = of(PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap());
        assert_eq!(weak, CertificateError::WeakRsa(1024));
        assert!(weak.to_string().contains("2048"));
        let group = openssl::ec::EcGroup::from_curve_name(Nid::SECP256K1).unwrap();
        let odd = of(PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap());
        assert_eq!(odd, CertificateError::UnsupportedKey);
    }
}
