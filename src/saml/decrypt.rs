//! Assertions that were encrypted for us (XML Encryption): which algorithms are taken, and the bytes that come out. Keys are passed in.
//! What was decrypted is as strange as what arrived: the caller scans it from its first byte, and verifies it by itself.
//!
//! Whatever depends on a key fails with one and the same refusal, so that nobody learns by trying (padding and tag oracles).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use openssl::{
    encrypt::Decrypter,
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Padding,
    sha::sha256,
    symm::{Cipher, Crypter, Mode, decrypt_aead},
};
use zeroize::Zeroizing;

use super::{
    element::{Element, Ns},
    key_pair::KeyPair,
    refusal::{Refusal, Step},
    work::{self, Work},
};
use crate::domain::{id::SpKeyId, secret::Secret};

use Ns::{Encryption as E, Signature as D};

/// A private key that assertions may be encrypted for.
#[derive(Clone)]
pub struct DecryptionKey {
    pub id: SpKeyId,
    key: PKey<Private>,
    /// Stands in for a content key that cannot be unwrapped, so that the work goes on and ends as with a wrong content.
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

/// What the connection and the message around allow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed<'a> {
    pub keys: &'a [DecryptionKey],
    /// AES-CBC, which protects nothing by itself: the connection's switch.
    pub cbc: bool,
    /// The Response around was signed, and its signature verified.
    pub in_signed_response: bool,
}

/// What came out, and which key it was encrypted for.
#[derive(Debug)]
pub(super) struct Decrypted {
    pub xml: Zeroizing<String>,
    pub key: SpKeyId,
}

fn refuse(code: &'static str, what: impl Into<String>) -> Refusal {
    Refusal::new(Step::Decryption, code, what)
}

/// The one answer to everything that a key decides.
fn unreadable() -> Refusal {
    refuse("decryption", "the assertion could not be decrypted").expected("an assertion encrypted for a key that this connection has").cure(
        "let the identity provider load the metadata of this connection again: the certificate that it encrypts for may be an old one",
    )
}

/// Decrypts the content of an EncryptedAssertion. `scope`: the declarations in whose scope the content was taken out.
pub(super) fn assertion(encrypted: &Element, scope: &[(String, String)], allowed: Allowed<'_>) -> Result<Decrypted, Refusal> {
    let missing = |name| refuse("missing_element", format!("{name} is missing in EncryptedAssertion"));
    let data = encrypted.child(E, "EncryptedData").ok_or_else(|| missing("EncryptedData"))?;
    check_type(data)?;
    let content = Content::of(method(data)?, allowed)?;
    let wrapped_key = encrypted_key(encrypted, data)?;
    let wrapping = Wrapping::of(wrapped_key)?;
    if allowed.keys.is_empty() {
        return Err(refuse("no_decryption_key", "the assertion is encrypted, and the connection has no RSA key to decrypt with").cure(
            "make one with `rolegate keys create --connection SLUG` and let the identity provider load the connection's metadata, \
             or switch assertion encryption off at the identity provider",
        ));
    }
    let (wrapped, ciphertext) = (cipher_value(wrapped_key)?, cipher_value(data)?);
    let (content_key, key) = unwrap(&wrapping, &wrapped, content.key_bytes(), allowed.keys);
    let plain = content.decrypt(&content_key, &ciphertext).ok_or_else(unreadable)?;
    let text = str::from_utf8(&plain).map_err(|_| unreadable())?;
    Ok(Decrypted { xml: Zeroizing::new(declare(text, scope)), key })
}

/// XML Encryption, 3.1: the content is an element, and says so if it says anything.
fn check_type(data: &Element) -> Result<(), Refusal> {
    match data.attribute("Type") {
        None | Some("http://www.w3.org/2001/04/xmlenc#Element") => Ok(()),
        Some(other) => Err(refuse("type", "the Type of EncryptedData").got(other).expected("http://www.w3.org/2001/04/xmlenc#Element")),
    }
}

fn method(holder: &Element) -> Result<&Element, Refusal> {
    holder.child(E, "EncryptionMethod").ok_or_else(|| refuse("missing_element", format!("EncryptionMethod is missing in {}", holder.name)))
}

/// The one EncryptedKey, inside KeyInfo or beside EncryptedData.
fn encrypted_key<'a>(encrypted: &'a Element, data: &'a Element) -> Result<&'a Element, Refusal> {
    let info = data.child(D, "KeyInfo");
    let inside = info.and_then(|info| info.child(E, "EncryptedKey"));
    let beside = encrypted.child(E, "EncryptedKey");
    let key = match (inside, beside) {
        (Some(key), None) | (None, Some(key)) => key,
        (Some(_), Some(_)) => {
            return Err(refuse("several_encrypted_keys", "there is an EncryptedKey both in KeyInfo and beside EncryptedData")
                .expected("one")
                .cure("let the identity provider encrypt for this service provider alone"));
        }
        (None, None) => {
            return Err(refuse("no_encrypted_key", "there is no EncryptedKey in KeyInfo or beside EncryptedData")
                .cure("let the identity provider send the encrypted key with the assertion"));
        }
    };
    // Never followed: it may only say what is known already.
    if let Some(retrieval) = info.and_then(|info| info.child(D, "RetrievalMethod")) {
        let (uri, id) = (retrieval.attribute("URI").unwrap_or_default(), key.attribute("Id").unwrap_or_default());
        if uri.strip_prefix('#') != Some(id) || id.is_empty() {
            return Err(refuse("retrieval_method", "the RetrievalMethod points to something else than the EncryptedKey")
                .got(uri)
                .expected(format!("#{id}")));
        }
    }
    Ok(key)
}

fn cipher_value(holder: &Element) -> Result<Vec<u8>, Refusal> {
    let value = holder.child(E, "CipherData").and_then(|data| data.child(E, "CipherValue")).map(|value| value.text.as_str());
    let compact: String = value.unwrap_or_default().chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(compact).map_err(|_| refuse("cipher_value", format!("the CipherValue of {} is not base64", holder.name)))
}

/// How the assertion itself is encrypted.
#[derive(Debug, Clone, Copy)]
enum Content {
    Gcm(usize),
    Cbc(usize),
}

const AES_BLOCK: usize = 16;
/// XML Encryption 1.1, 5.2.4: 96 bits of IV before, 128 bits of tag behind.
const GCM_IV: usize = 12;
const GCM_TAG: usize = 16;
const CONTENT_EXPECTED: &str = "AES-128-GCM or AES-256-GCM";

impl Content {
    fn of(method: &Element, allowed: Allowed<'_>) -> Result<Self, Refusal> {
        let algorithm = method.attribute("Algorithm").unwrap_or_default();
        let refused = |code| refuse(code, "the algorithm of the encrypted assertion").got(algorithm).expected(CONTENT_EXPECTED);
        let content = match algorithm {
            "http://www.w3.org/2009/xmlenc11#aes128-gcm" => Self::Gcm(16),
            "http://www.w3.org/2009/xmlenc11#aes256-gcm" => Self::Gcm(32),
            "http://www.w3.org/2001/04/xmlenc#aes128-cbc" => Self::Cbc(16),
            "http://www.w3.org/2001/04/xmlenc#aes256-cbc" => Self::Cbc(32),
            "http://www.w3.org/2001/04/xmlenc#tripledes-cbc" => {
                return Err(refused("tripledes").cure("3DES is broken: let the identity provider encrypt with AES-128-GCM or AES-256-GCM"));
            }
            _ => return Err(refused("algorithm").cure("let the identity provider encrypt with AES-128-GCM or AES-256-GCM")),
        };
        match content {
            Self::Cbc(_) if !allowed.cbc => Err(refused("cbc").cure(
                "AES-CBC is not taken by this connection: let the identity provider encrypt with AES-GCM, or, if it cannot, \
                 set allow_cbc = true and let it sign the Response",
            )),
            Self::Cbc(_) if !allowed.in_signed_response => {
                Err(refuse("cbc_unsigned", "the assertion is encrypted with AES-CBC in a Response that is not signed")
                    .got(algorithm)
                    .expected(CONTENT_EXPECTED)
                    .cure("let the identity provider sign the Response too"))
            }
            Self::Gcm(_) | Self::Cbc(_) => Ok(content),
        }
    }

    fn key_bytes(self) -> usize {
        match self {
            Self::Gcm(bytes) | Self::Cbc(bytes) => bytes,
        }
    }

    fn decrypt(self, key: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Gcm(bytes) => {
                let cipher = if bytes == 16 { Cipher::aes_128_gcm() } else { Cipher::aes_256_gcm() };
                let (iv, rest) = ciphertext.split_at_checked(GCM_IV)?;
                let (sealed, tag) = rest.split_at_checked(rest.len().checked_sub(GCM_TAG)?)?;
                decrypt_aead(cipher, key, Some(iv), &[], sealed, tag).ok().map(Zeroizing::new)
            }
            Self::Cbc(bytes) => {
                let cipher = if bytes == 16 { Cipher::aes_128_cbc() } else { Cipher::aes_256_cbc() };
                let (iv, rest) = ciphertext.split_at_checked(AES_BLOCK)?;
                if rest.is_empty() || !rest.len().is_multiple_of(AES_BLOCK) {
                    return None;
                }
                unpad(cbc(cipher, key, iv, rest).ok()?)
            }
        }
    }
}

fn cbc(cipher: Cipher, key: &[u8], iv: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut crypter = Crypter::new(cipher, Mode::Decrypt, key, Some(iv))?;
    crypter.pad(false);
    let mut plain = Zeroizing::new(vec![0; ciphertext.len() + AES_BLOCK]);
    let written = crypter.update(ciphertext, &mut plain)?;
    let rest = crypter.finalize(&mut plain[written..])?;
    plain.truncate(written + rest);
    Ok(plain)
}

/// XML Encryption, 5.2: the last byte counts the bytes of padding, whose others are arbitrary.
fn unpad(mut plain: Zeroizing<Vec<u8>>) -> Option<Zeroizing<Vec<u8>>> {
    let padding = usize::from(*plain.last()?);
    if !(1..=AES_BLOCK).contains(&padding) {
        return None;
    }
    let length = plain.len().checked_sub(padding)?;
    plain.truncate(length);
    Some(plain)
}

/// How the key of the content is encrypted: RSA-OAEP.
struct Wrapping {
    digest: MessageDigest,
    mask: MessageDigest,
    label: Vec<u8>,
}

impl Wrapping {
    fn of(encrypted_key: &Element) -> Result<Self, Refusal> {
        const EXPECTED: &str = "RSA-OAEP";
        let method = method(encrypted_key)?;
        let algorithm = method.attribute("Algorithm").unwrap_or_default();
        let refused = |code| refuse(code, "the algorithm of the encrypted key").got(algorithm).expected(EXPECTED);
        let mask = method.child(Ns::Encryption11, "MGF").and_then(|mgf| mgf.attribute("Algorithm"));
        let mask = match (algorithm, mask) {
            // XML Encryption 1.1, 5.5.2: rsa-oaep-mgf1p masks with SHA-1 always, rsa-oaep as MGF says.
            ("http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p", _) | ("http://www.w3.org/2009/xmlenc11#rsa-oaep", None) => {
                MessageDigest::sha1()
            }
            ("http://www.w3.org/2009/xmlenc11#rsa-oaep", Some(mgf)) => mask_digest(mgf)?,
            ("http://www.w3.org/2001/04/xmlenc#rsa-1_5", _) => {
                return Err(refused("rsa_1_5")
                    .cure("RSA 1.5 can be decrypted by anybody who may ask often enough: let the identity provider use RSA-OAEP"));
            }
            _ => return Err(refused("algorithm").cure("let the identity provider encrypt the key with RSA-OAEP")),
        };
        let label = method.child(E, "OAEPparams").map_or("", |label| label.text.as_str());
        let label: String = label.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let label = STANDARD.decode(label).ok().filter(|label| label.len() <= 256);
        Ok(Self {
            digest: method
                .child(D, "DigestMethod")
                .and_then(|digest| digest.attribute("Algorithm"))
                .map_or(Ok(MessageDigest::sha1()), digest)?,
            mask,
            label: label.ok_or_else(|| refuse("oaep_params", "OAEPparams are not base64 of at most 256 bytes"))?,
        })
    }

    fn open(&self, key: &PKey<Private>, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        let mut decrypter = Decrypter::new(key)?;
        decrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
        decrypter.set_rsa_oaep_md(self.digest)?;
        decrypter.set_rsa_mgf1_md(self.mask)?;
        if !self.label.is_empty() {
            decrypter.set_rsa_oaep_label(&self.label)?;
        }
        let mut plain = Zeroizing::new(vec![0; decrypter.decrypt_len(wrapped)?]);
        let length = decrypter.decrypt(wrapped, &mut plain)?;
        plain.truncate(length);
        Ok(plain)
    }
}

const DIGESTS_EXPECTED: &str = "SHA-1 or SHA-256, SHA-384, SHA-512";

fn digest(algorithm: &str) -> Result<MessageDigest, Refusal> {
    match algorithm {
        "http://www.w3.org/2000/09/xmldsig#sha1" => Ok(MessageDigest::sha1()),
        "http://www.w3.org/2001/04/xmlenc#sha256" => Ok(MessageDigest::sha256()),
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => Ok(MessageDigest::sha384()),
        "http://www.w3.org/2001/04/xmlenc#sha512" => Ok(MessageDigest::sha512()),
        _ => Err(refuse("oaep_digest", "the DigestMethod of RSA-OAEP").got(algorithm).expected(DIGESTS_EXPECTED)),
    }
}

fn mask_digest(algorithm: &str) -> Result<MessageDigest, Refusal> {
    match algorithm.strip_prefix("http://www.w3.org/2009/xmlenc11#") {
        Some("mgf1sha1") => Ok(MessageDigest::sha1()),
        Some("mgf1sha256") => Ok(MessageDigest::sha256()),
        Some("mgf1sha384") => Ok(MessageDigest::sha384()),
        Some("mgf1sha512") => Ok(MessageDigest::sha512()),
        _ => Err(refuse("oaep_mgf", "the MGF of RSA-OAEP").got(algorithm).expected("MGF1 with SHA-1, SHA-256, SHA-384 or SHA-512")),
    }
}

/// The content key, and whose it was. Where no key opens it, a key comes out that nobody knows: decryption goes on and fails at its end.
fn unwrap(wrapping: &Wrapping, wrapped: &[u8], length: usize, keys: &[DecryptionKey]) -> (Zeroizing<Vec<u8>>, SpKeyId) {
    for known in keys.iter().filter(|known| known.key.size() == wrapped.len()) {
        work::add(Work { key_operations: 1, ..Work::default() });
        match wrapping.open(&known.key, wrapped) {
            Ok(content_key) if content_key.len() == length => return (content_key, known.id),
            Ok(_) | Err(_) => {}
        }
    }
    let first = &keys[0];
    let digest = sha256(&[&first.rejection.expose()[..], wrapped].concat());
    (Zeroizing::new(digest[..length].to_vec()), first.id)
}

/// Namespaces that an encrypted assertion may have left declared outside.
const INHERITED: [&str; 4] = [
    "urn:oasis:names:tc:SAML:2.0:assertion",
    "http://www.w3.org/2000/09/xmldsig#",
    "http://www.w3.org/2001/XMLSchema",
    "http://www.w3.org/2001/XMLSchema-instance",
];

/// Toolkits (pysaml2 with xmlsec1) encrypt the octets of an element whose prefixes are declared on an ancestor. The declarations of the
/// place where it stood are put on its root, for those four vocabularies alone; what the root declares itself counts. The result is judged
/// by the scan like any document, so that nothing depends on how the tag is found here.
fn declare(xml: &str, scope: &[(String, String)]) -> String {
    let Some(start) =
        xml.match_indices('<').map(|(at, _)| at).find(|at| xml[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
    else {
        return xml.to_owned();
    };
    let tag = &xml[start..xml[start..].find('>').map_or(xml.len(), |end| start + end)];
    let name_end = start + tag.find(|c: char| c.is_ascii_whitespace() || c == '/').unwrap_or(tag.len());
    let declarations = scope.iter().filter(|(prefix, uri)| {
        let (declaration, used) = if prefix.is_empty() {
            ("xmlns=".to_owned(), !tag[1..name_end - start].contains(':'))
        } else {
            (format!("xmlns:{prefix}="), xml.contains(&format!("{prefix}:")))
        };
        used && INHERITED.contains(&uri.as_str()) && !tag.split_ascii_whitespace().any(|part| part.starts_with(&declaration))
    });
    let declarations = declarations.fold(String::new(), |all, (prefix, uri)| {
        if prefix.is_empty() { format!(r#"{all} xmlns="{uri}""#) } else { format!(r#"{all} xmlns:{prefix}="{uri}""#) }
    });
    format!("{}{declarations}{}", &xml[..name_end], &xml[name_end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_of_the_place_are_put_on_the_root_for_four_vocabularies_alone() {
        let scope = |pairs: &[(&str, &str)]| pairs.iter().map(|(p, u)| ((*p).to_owned(), (*u).to_owned())).collect::<Vec<_>>();
        let all =
            scope(&[("saml", INHERITED[0]), ("xs", INHERITED[2]), ("p", "urn:oasis:names:tc:SAML:2.0:protocol"), ("ds", INHERITED[1])]);
        assert_eq!(
            declare("<saml:Assertion ID=\"a\">xs:string p:x</saml:Assertion>", &all),
            format!(
                "<saml:Assertion xmlns:saml=\"{}\" xmlns:xs=\"{}\" ID=\"a\">xs:string p:x</saml:Assertion>",
                INHERITED[0], INHERITED[2]
            ),
        );
        let own = "<saml:Assertion xmlns:saml=\"urn:own\"/>";
        assert_eq!(declare(own, &all), own, "what the root declares itself counts");
        let default = scope(&[("", INHERITED[0])]);
        assert_eq!(declare("<Assertion/>", &default), format!("<Assertion xmlns=\"{}\"/>", INHERITED[0]));
        assert_eq!(declare("<saml:Assertion/>", &default), "<saml:Assertion/>");
        assert_eq!(
            declare("<?xml version=\"1.0\"?><Assertion>", &default),
            format!("<?xml version=\"1.0\"?><Assertion xmlns=\"{}\">", INHERITED[0])
        );
        for odd in ["", "<", "no tag", "<a", "<<<<", "<a\n", "é<a é>"] {
            let _ = declare(odd, &all);
        }
    }

    #[test]
    fn padding_is_what_xml_encryption_says() {
        let unpadded = |bytes: &[u8]| unpad(Zeroizing::new(bytes.to_vec())).map(|plain| plain.to_vec());
        assert_eq!(unpadded(b"abc\x09\x07\x03"), Some(b"abc".to_vec()));
        assert_eq!(unpadded(&[16; 16]), Some(vec![]));
        for wrong in [&b""[..], b"a\x00", b"a\x11", b"a\x03"] {
            assert_eq!(unpadded(wrong), None, "{wrong:?}");
        }
    }
}
