//! Tools of a forger: signed parts to cut and join, signatures made by other means than an identity provider has.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use openssl::{
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::{Padding, Rsa},
    sign::Signer,
    x509::X509,
};
use rolegate::saml::issuer::{IssuerKey, Message, Sign};

use crate::common::{NOW, idp::KEY};

pub static EC_KEY: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::ec("idp.example", NOW).unwrap());
pub static NEIGHBOURS_KEY: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("neighbour.example", NOW).unwrap());
pub static RETIRED_KEY: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("retired.example", NOW).unwrap());
static WEAK_KEY: LazyLock<PKey<Private>> = LazyLock::new(|| PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap());
static ODD_CURVE: LazyLock<PKey<Private>> = LazyLock::new(|| {
    let group = EcGroup::from_curve_name(Nid::SECP256K1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
});

const SIGNATURE: &str = "</ds:Signature>";

#[track_caller]
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1)
}

pub fn issue(message: &Message, sign: Sign) -> String {
    KEY.issue(message, sign).unwrap()
}

pub fn sign(xml: &str, id: &str) -> String {
    KEY.sign(xml, id).unwrap()
}

/// The document with the signature behind its Issuer, values and all if xmlsec can compute them, else those of the plain signature.
pub fn sign_by_template(xml: &str, template: &str) -> String {
    let placed = replaced(xml, "</saml:Issuer>", &format!("</saml:Issuer>{template}"));
    if let Ok(signed) = KEY.sign_templated(&placed) {
        return signed;
    }
    let id = xml.split(" ID=\"").nth(1).unwrap().split('"').next().unwrap();
    let plain = sign(xml, id);
    let value = |tag: &str| {
        let (open, close) = (format!("<ds:{tag}>"), format!("</ds:{tag}>"));
        let inner = plain.split(&open).nth(1).unwrap().split(&close).next().unwrap();
        format!("{open}{inner}{close}")
    };
    let filled = placed.replacen("<ds:DigestValue></ds:DigestValue>", &value("DigestValue"), 1);
    filled.replacen("<ds:SignatureValue></ds:SignatureValue>", &value("SignatureValue"), 1)
}

/// From the start tag of the first such element to its end tag.
#[track_caller]
pub fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let start = xml.find(&format!("<{name}")).unwrap_or_else(|| panic!("{name} is not in {xml}"));
    let close = format!("</{}>", name.trim_end());
    let end = xml[start..].find(&close).unwrap_or_else(|| panic!("{name} has no end")) + start + close.len();
    &xml[start..end]
}

pub fn signature(xml: &str) -> &str {
    let start = xml.find("<ds:Signature ").unwrap();
    let end = xml[start..].find(SIGNATURE).unwrap() + start + SIGNATURE.len();
    &xml[start..end]
}

/// The parts of which wrapped messages are made.
pub struct Parts {
    pub message: Message,
    /// The assertion as the identity provider signed it, its signature, and the assertion without it.
    pub signed: String,
    pub signature: String,
    pub bare: String,
    /// An assertion of the forger's, for Eve, with an ID of its own.
    pub forged: String,
    pub id: String,
}

impl Parts {
    pub fn of(message: &Message) -> Self {
        let signed = sign(&message.assertion(), &message.assertion_id);
        let signature = signature(&signed).to_owned();
        let forged = message.assertion().replace("ada@", "eve@").replace(&message.assertion_id, "_forged");
        Self { bare: signed.replace(&signature, ""), signature, signed, forged, id: message.assertion_id.clone(), message: message.clone() }
    }

    /// In an unsigned envelope.
    pub fn response(&self, assertions: &str) -> String {
        self.message.response(assertions)
    }

    /// The forged assertion with something behind its Issuer.
    pub fn forged_with(&self, inside: &str) -> String {
        replaced(&self.forged, "</saml:Issuer>", &format!("</saml:Issuer>{inside}"))
    }

    pub fn signature_with(&self, inside: &str) -> String {
        replaced(&self.signature, "</ds:KeyInfo>", &format!("</ds:KeyInfo>{inside}"))
    }
}

/// What makes a signature value of the canonical SignedInfo.
pub enum Forge {
    /// HMAC with what everybody knows of the key that is trusted: its certificate, or the public key in it.
    HmacOfCertificate(MessageDigest),
    HmacOfPublicKey(MessageDigest),
    WeakRsa,
    OddCurve,
    /// PKCS #1 v1.5 padding around a digest, without any key: what an exponent of one would make of it.
    NoKey,
    Zeros(usize),
}

/// A document in which the reference holds and the value is forged. `method` stands in SignatureMethod.
pub fn forged(message: &Message, method: &str, forge: &Forge) -> String {
    let signed = sign(&message.assertion(), &message.assertion_id);
    let signed = replaced(&signed, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", method);
    let info = canonical(element(&signed, "ds:SignedInfo"));
    let value = STANDARD.encode(value_of(info.as_bytes(), forge));
    let old = element(&signed, "ds:SignatureValue").to_owned();
    message.response(&signed.replace(&old, &format!("<ds:SignatureValue>{value}</ds:SignatureValue>")))
}

fn value_of(info: &[u8], forge: &Forge) -> Vec<u8> {
    let hmac = |digest: MessageDigest, key: &[u8]| {
        let key = PKey::hmac(key).unwrap();
        let mut signer = Signer::new(digest, &key).unwrap();
        signer.sign_oneshot_to_vec(info).unwrap()
    };
    let with = |key: &PKey<Private>| Signer::new(MessageDigest::sha256(), key).unwrap().sign_oneshot_to_vec(info).unwrap();
    let der = KEY.certificate().der();
    match forge {
        Forge::HmacOfCertificate(digest) => hmac(*digest, der),
        Forge::HmacOfPublicKey(digest) => hmac(*digest, &X509::from_der(der).unwrap().public_key().unwrap().public_key_to_pem().unwrap()),
        Forge::WeakRsa => with(&WEAK_KEY),
        Forge::OddCurve => with(&ODD_CURVE),
        Forge::NoKey => {
            let key = Rsa::generate(2048).unwrap();
            let mut padded = vec![0; 256];
            let signed = PKey::from_rsa(key.clone()).unwrap();
            let value = Signer::new(MessageDigest::sha256(), &signed).unwrap().sign_oneshot_to_vec(info).unwrap();
            key.public_decrypt(&value, &mut padded, Padding::NONE).unwrap();
            padded
        }
        Forge::Zeros(length) => vec![0; *length],
    }
}

/// Exclusive canonical form of what our own writer made: the declaration on the root, no empty-element tags.
fn canonical(info: &str) -> String {
    let mut text = replaced(info, "<ds:SignedInfo>", "<ds:SignedInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">");
    while let Some(end) = text.find("/>") {
        let start = text[..end].rfind('<').unwrap();
        let name = text[start + 1..].split([' ', '/']).next().unwrap().to_owned();
        text.replace_range(end..end + 2, &format!("></{name}>"));
    }
    text
}

#[test]
fn the_canonical_form_of_the_forger_is_the_verifiers() {
    // The trusted key over the same canonical bytes gives the signature's own value: what is refused is refused for its key alone.
    let message = crate::common::idp::message("x", "ada", NOW);
    let signed = sign(&message.assertion(), &message.assertion_id);
    let info = canonical(element(&signed, "ds:SignedInfo"));
    let value = element(&signed, "ds:SignatureValue").replace(['\n', ' '], "");
    let value = value.trim_start_matches("<ds:SignatureValue>").trim_end_matches("</ds:SignatureValue>");
    let key = X509::from_der(KEY.certificate().der()).unwrap().public_key().unwrap();
    let mut verifier = openssl::sign::Verifier::new(MessageDigest::sha256(), &key).unwrap();
    assert!(verifier.verify_oneshot(&STANDARD.decode(value).unwrap(), info.as_bytes()).unwrap());
}
