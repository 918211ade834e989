//! Encrypting an assertion for a service provider (XML Encryption), in the ways that identity providers have.

use base64::{Engine, engine::general_purpose::STANDARD};
use openssl::{
    encrypt::Encrypter,
    error::ErrorStack,
    hash::MessageDigest,
    rsa::Padding,
    sha::sha256,
    symm::{Cipher, encrypt, encrypt_aead},
    x509::X509,
};

use super::super::certificate::Certificate;

/// How the assertion itself is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentCipher {
    Aes128Gcm,
    Aes256Gcm,
    Aes128Cbc,
    Aes256Cbc,
}

/// How its key is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyTransport {
    /// `rsa-oaep-mgf1p` with SHA-1, nothing said of the digest.
    OaepMgf1p,
    /// `rsa-oaep-mgf1p` with SHA-256 as the digest; the mask is SHA-1's.
    OaepMgf1pSha256,
    /// `rsa-oaep` of XML Encryption 1.1 with SHA-256 for both.
    Oaep11Sha256,
}

/// Where the EncryptedKey stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    InKeyInfo,
    /// Beside EncryptedData, which refers to it by a RetrievalMethod (Okta).
    Beside,
}

#[derive(Debug, Clone)]
pub struct Encryption {
    pub recipient: Certificate,
    pub content: ContentCipher,
    pub key: KeyTransport,
    pub placement: Placement,
    /// Makes the content key and its initialisation vector.
    pub random: [u8; 32],
}

impl ContentCipher {
    fn algorithm(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "http://www.w3.org/2009/xmlenc11#aes128-gcm",
            Self::Aes256Gcm => "http://www.w3.org/2009/xmlenc11#aes256-gcm",
            Self::Aes128Cbc => "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
            Self::Aes256Cbc => "http://www.w3.org/2001/04/xmlenc#aes256-cbc",
        }
    }

    fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Cbc => 16,
            Self::Aes256Gcm | Self::Aes256Cbc => 32,
        }
    }

    fn seal(self, key: &[u8], iv: &[u8; 32], plain: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let gcm = |cipher| {
            let mut tag = [0; 16];
            let sealed = encrypt_aead(cipher, key, Some(&iv[..12]), &[], plain, &mut tag)?;
            Ok([&iv[..12], &sealed, &tag].concat())
        };
        // PKCS #7 is a padding as XML Encryption wants it: the last byte counts.
        let cbc = |cipher| Ok([&iv[..16], &encrypt(cipher, key, Some(&iv[..16]), plain)?].concat());
        match self {
            Self::Aes128Gcm => gcm(Cipher::aes_128_gcm()),
            Self::Aes256Gcm => gcm(Cipher::aes_256_gcm()),
            Self::Aes128Cbc => cbc(Cipher::aes_128_cbc()),
            Self::Aes256Cbc => cbc(Cipher::aes_256_cbc()),
        }
    }
}

impl KeyTransport {
    fn method(self) -> &'static str {
        match self {
            Self::OaepMgf1p => r#"<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/>"#,
            Self::OaepMgf1pSha256 => {
                r#"<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/></xenc:EncryptionMethod>"#
            }
            Self::Oaep11Sha256 => {
                r#"<xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#rsa-oaep"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><xenc11:MGF xmlns:xenc11="http://www.w3.org/2009/xmlenc11#" Algorithm="http://www.w3.org/2009/xmlenc11#mgf1sha256"/></xenc:EncryptionMethod>"#
            }
        }
    }

    fn wrap(self, recipient: &Certificate, key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let public = X509::from_der(recipient.der())?.public_key()?;
        let (digest, mask) = match self {
            Self::OaepMgf1p => (MessageDigest::sha1(), MessageDigest::sha1()),
            Self::OaepMgf1pSha256 => (MessageDigest::sha256(), MessageDigest::sha1()),
            Self::Oaep11Sha256 => (MessageDigest::sha256(), MessageDigest::sha256()),
        };
        let mut encrypter = Encrypter::new(&public)?;
        encrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
        encrypter.set_rsa_oaep_md(digest)?;
        encrypter.set_rsa_mgf1_md(mask)?;
        let mut wrapped = vec![0; encrypter.encrypt_len(key)?];
        let length = encrypter.encrypt(key, &mut wrapped)?;
        wrapped.truncate(length);
        Ok(wrapped)
    }
}

impl Encryption {
    /// AES-256-GCM and RSA-OAEP, the key inside KeyInfo.
    #[must_use]
    pub fn new(recipient: Certificate, random: [u8; 32]) -> Self {
        Self { recipient, content: ContentCipher::Aes256Gcm, key: KeyTransport::OaepMgf1p, placement: Placement::InKeyInfo, random }
    }

    /// The EncryptedAssertion that holds these octets.
    pub(super) fn encrypted_assertion(&self, plain: &str) -> Result<String, ErrorStack> {
        let key = sha256(&[&self.random[..], b"key"].concat());
        let key = &key[..self.content.key_bytes()];
        let iv = sha256(&[&self.random[..], b"iv"].concat());
        let data = STANDARD.encode(self.content.seal(key, &iv, plain.as_bytes())?);
        let wrapped = STANDARD.encode(self.key.wrap(&self.recipient, key)?);
        let encrypted_key = format!(
            r#"<xenc:EncryptedKey Id="_ek">{}<xenc:CipherData><xenc:CipherValue>{wrapped}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>"#,
            self.key.method()
        );
        let (inside, beside) = match self.placement {
            Placement::InKeyInfo => (encrypted_key.as_str(), ""),
            Placement::Beside => {
                let retrieval = r##"<ds:RetrievalMethod Type="http://www.w3.org/2001/04/xmlenc#EncryptedKey" URI="#_ek"/>"##;
                (retrieval, encrypted_key.as_str())
            }
        };
        Ok(format!(
            r#"<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedData Id="_ed" Type="http://www.w3.org/2001/04/xmlenc#Element"><xenc:EncryptionMethod Algorithm="{}"/><ds:KeyInfo>{inside}</ds:KeyInfo><xenc:CipherData><xenc:CipherValue>{data}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>{beside}</saml:EncryptedAssertion>"#,
            self.content.algorithm()
        ))
    }
}
