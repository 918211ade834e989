//! The same inside an EncryptedAssertion: what was decrypted is as strange as what arrives in clear, and who encrypts for us is nobody in
//! particular. Beside the cases of its own there is the whole corpus once more, its assertions encrypted.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::saml::issuer::{ContentCipher, Encryption, IssuerKey, Message, Placement, Sign};

use super::{
    CURVED, Case, Sent,
    craft::{self, Parts, RETIRED_KEY, element, replaced},
};
use crate::common::{
    NOW,
    idp::{FOREIGN_KEY, KEY},
};

/// What the connection decrypts with.
pub static OURS: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("sp.example", NOW).unwrap());

const UNREADABLE: (&str, &str) = ("decryption", "could not be decrypted");
const DECRYPTION: (&str, &str) = ("decryption", "");
const STRUCTURE: (&str, &str) = ("structure", "");
const SCAN: (&str, &str) = ("scan", "");
const SIGNATURE: (&str, &str) = ("signature", "");

fn for_us() -> Encryption {
    Encryption::new(OURS.certificate().clone(), [5; 32])
}

fn around(message: &Message, sign: Sign, octets: &str) -> String {
    KEY.issue_around(message, sign, octets, &for_us()).unwrap()
}

fn sealed(message: &Message, octets: &str) -> String {
    element(&around(message, Sign::Nothing, octets), "saml:EncryptedAssertion").to_owned()
}

/// The form with its assertion encrypted, whatever stands in it. `None` where there is none in clear, or a signature around it would break.
pub fn with_encrypted_assertion(message: &Message, sent: &Sent) -> Option<Sent> {
    const END: &str = "</saml:Assertion>";
    let (_, value) = url::form_urlencoded::parse(&sent.body).find(|(name, _)| name == "SAMLResponse")?;
    let xml = String::from_utf8(STANDARD.decode(value.as_bytes()).ok()?).ok()?;
    let (start, end) = (xml.find("<saml:Assertion")?, xml.rfind(END)? + END.len());
    let (before, octets, after) = (xml.get(..start)?, xml.get(start..end)?, &xml[end..]);
    let is_signed_outside = [before, after].iter().any(|part| part.contains("<ds:Signature"));
    let body = Sent::xml(&format!("{before}{}{after}", sealed(message, octets))).body;
    (!is_signed_outside).then(|| Sent {
        method: sent.method.clone(),
        path: sent.path.clone(),
        headers: sent.headers.clone(),
        body,
        ..*sent
    })
}

/// The Response is signed and its assertion is not; in that, `from` becomes `to` before it is encrypted.
fn inside(name: &str, refused: (&'static str, &'static str), from: &'static str, to: impl Fn() -> String + 'static) -> Case {
    Case::xml(name, refused, move |scene, kind| {
        let assertion = scene.message.assertion();
        let altered = || replaced(&assertion, from, &to());
        around(&scene.message, Sign::Response, &kind.pick(assertion.clone(), altered()))
    })
}

/// The assertion is signed, and the Response is not; something is made of the parts, and encrypted.
fn of_parts(name: &str, refused: (&'static str, &'static str), make: fn(&Parts) -> String) -> Case {
    Case::xml(name, refused, move |scene, kind| {
        let parts = Parts::of(&scene.message);
        around(&scene.message, Sign::Nothing, &kind.pick::<fn(&Parts) -> String>(|parts| parts.signed.clone(), make)(&parts))
    })
}

/// The whole message, whose assertion alone is signed: `from` becomes `to` after it was encrypted.
fn outside(name: &str, refused: (&'static str, &'static str), from: &'static str, to: &'static str) -> Case {
    Case::xml(name, refused, move |scene, kind| {
        let good = KEY.issue_encrypted(&scene.message, Sign::Assertion, &for_us()).unwrap();
        replaced(&good, from, kind.pick(from, to))
    })
}

/// As [`outside`], with the bytes of the first (the wrapped key) or second (the content) CipherValue.
fn bytes(name: &str, nth: usize, change: fn(&mut Vec<u8>)) -> Case {
    Case::xml(name, UNREADABLE, move |scene, kind| {
        const OPEN: &str = "<xenc:CipherValue>";
        let good = KEY.issue_encrypted(&scene.message, Sign::Assertion, &for_us()).unwrap();
        let start = good.match_indices(OPEN).nth(nth).unwrap().0 + OPEN.len();
        let end = start + good[start..].find('<').unwrap();
        let mut bytes = STANDARD.decode(&good[start..end]).unwrap();
        kind.pick::<fn(&mut Vec<u8>)>(|_| {}, change)(&mut bytes);
        format!("{}{}{}", &good[..start], STANDARD.encode(bytes), &good[end..])
    })
}

/// Encrypted and signed as one identity provider has it, and as another.
fn encryptions(name: &str, refused: (&'static str, &'static str), hostile: fn(&Message) -> String) -> Case {
    Case::xml(name, refused, move |scene, kind| {
        kind.pick::<fn(&Message) -> String>(|message| KEY.issue_encrypted(message, Sign::Both, &for_us()).unwrap(), hostile)(&scene.message)
    })
}

pub fn cases() -> Vec<Case> {
    [decrypted(), bounds(), wrapped(), signers(), algorithms(), ciphertexts(), places(), conditions()].into_iter().flatten().collect()
}

fn fixed(text: &'static str) -> impl Fn() -> String {
    move || text.to_owned()
}

/// From its first byte what was decrypted goes through the same steps.
fn decrypted() -> Vec<Case> {
    vec![
        inside("a comment in the decrypted NameID", SCAN, "ada@acme", fixed("ada<!-- x -->@acme")),
        inside("a comment before the Issuer", SCAN, "<saml:Issuer>", fixed("<!-- x --><saml:Issuer>")),
        inside("a processing instruction", SCAN, "<saml:Issuer>", fixed("<?x y?><saml:Issuer>")),
        inside("a document type", SCAN, "<saml:Assertion ", fixed("<!DOCTYPE a><saml:Assertion ")),
        inside(
            "an entity of a file",
            SCAN,
            "<saml:Assertion ",
            fixed("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><saml:Assertion "),
        ),
        inside("an entity that nobody declared", SCAN, "ada@acme", fixed("&x;@acme")),
        inside(
            "a declaration of another alphabet",
            SCAN,
            "<saml:Assertion ",
            fixed("<?xml version=\"1.0\" encoding=\"UTF-16\"?><saml:Assertion "),
        ),
        inside("a declaration of XML 1.1", SCAN, "<saml:Assertion ", fixed("<?xml version=\"1.1\"?><saml:Assertion ")),
        inside("a byte order mark", SCAN, "<saml:Assertion ", fixed("\u{feff}<saml:Assertion ")),
        inside("a NUL", SCAN, "ada@acme", fixed("ada\0@acme")),
        inside("text before the root", SCAN, "<saml:Assertion ", fixed("x<saml:Assertion ")),
        inside("a second root", SCAN, "</saml:Assertion>", fixed("</saml:Assertion><x/>")),
        inside("no end", SCAN, "</saml:Assertion>", fixed("")),
        inside(
            "a Response for a root",
            STRUCTURE,
            "<saml:Assertion ",
            fixed("<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"/><saml:Assertion "),
        ),
        inside("Advice", STRUCTURE, "<saml:Subject>", fixed("<saml:Advice/><saml:Subject>")),
        inside("an EncryptedID", DECRYPTION, "<saml:Subject>", fixed("<saml:Subject><saml:EncryptedID/>")),
        inside(
            "an EncryptedAttribute",
            DECRYPTION,
            "<saml:AttributeStatement>",
            fixed("<saml:AttributeStatement><saml:EncryptedAttribute/>"),
        ),
        inside("two NameIDs", STRUCTURE, "<saml:Subject>", fixed("<saml:Subject><saml:NameID>eve@acme.example</saml:NameID>")),
        inside("a prefix that is bound nowhere", SCAN, "<saml:Subject>", fixed("<y:z/><saml:Subject>")),
        inside("an ID of the message around it", STRUCTURE, "<saml:Subject>", fixed("<saml:Subject ID=\"_x\">")),
    ]
}

fn numbered(numbers: std::ops::Range<usize>, one: impl Fn(usize) -> String) -> String {
    numbers.fold(String::new(), |all, n| all + &one(n))
}

/// What a message may make us do does not grow by being encrypted.
fn bounds() -> Vec<Case> {
    vec![
        inside("forty levels", SCAN, "<saml:AttributeStatement>", || {
            let deep = format!("{}{}", "<a xmlns=\"urn:x\">".repeat(40), "</a>".repeat(40));
            format!(
                "<saml:AttributeStatement><saml:Attribute Name=\"x\"><saml:AttributeValue>{deep}</saml:AttributeValue></saml:Attribute>"
            )
        }),
        inside("twenty thousand elements", SCAN, "<saml:AttributeStatement>", || {
            let wide = "<a/>".repeat(20_000);
            format!(
                "<saml:AttributeStatement><saml:Attribute Name=\"x\"><saml:AttributeValue>{wide}</saml:AttributeValue></saml:Attribute>"
            )
        }),
        inside("five hundred attributes on one element", SCAN, "<saml:Subject>", || {
            let many = numbered(0..500, |n| format!(" a{n}=\"\""));
            format!("<saml:Subject{many}>")
        }),
        inside("a hundred namespaces", SCAN, "<saml:Subject>", || {
            let many = numbered(0..100, |n| format!(" xmlns:n{n}=\"urn:{n}\""));
            format!("<saml:Subject{many}>")
        }),
        Case::xml("entities that grow a billion times", SCAN, |scene, kind| {
            let laughs = numbered(1..10, |n| format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10)));
            let typed = format!("<!DOCTYPE a [<!ENTITY a0 \"ha\">{laughs}]>{}", scene.message.assertion().replace("ada@acme", "&a9;@acme"));
            around(&scene.message, Sign::Response, &kind.pick(scene.message.assertion(), typed))
        }),
        of_parts("five thousand references in the signature", STRUCTURE, |p| {
            let reference = element(&p.signed, "ds:Reference").to_owned();
            p.signed.replace(&reference, &reference.repeat(150))
        }),
        of_parts("an XPath transform", STRUCTURE, |p| {
            let exclusive = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"";
            let xpath = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>//*</ds:XPath></ds:Transform>";
            replaced(&p.signed, exclusive, &format!("{xpath}{exclusive}"))
        }),
        of_parts("an XSLT transform", STRUCTURE, |p| {
            replaced(&p.signed, "http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116")
        }),
        of_parts("a reference to another machine", STRUCTURE, |p| {
            replaced(&p.signed, &format!("URI=\"#{}\"", p.id), "URI=\"http://127.0.0.1:9/x\"")
        }),
        of_parts("a reference to everything", STRUCTURE, |p| replaced(&p.signed, &format!("URI=\"#{}\"", p.id), "URI=\"\"")),
    ]
}

fn wrapped() -> Vec<Case> {
    vec![
        of_parts("the forged assertion before the genuine one", SCAN, |p| format!("{}{}", p.forged, p.signed)),
        of_parts("the genuine assertion inside the forged one", STRUCTURE, |p| p.forged_with(&p.signed)),
        of_parts("the signature in the forged assertion, the genuine one in the signature", STRUCTURE, |p| {
            p.forged_with(&p.signature_with(&format!("<ds:Object>{}</ds:Object>", p.bare)))
        }),
        of_parts("the genuine assertion's signature in the forged one", STRUCTURE, |p| p.forged_with(&p.signature)),
        of_parts("the same with the genuine one's ID", SIGNATURE, |p| p.forged_with(&p.signature).replace("_forged", &p.id)),
        of_parts("the signature taken away", ("signature", "neither the Response nor the encrypted Assertion"), |p| p.bare.clone()),
        of_parts("another person after it was signed", SIGNATURE, |p| p.signed.replace("ada@", "eve@")),
        of_parts("encrypted once more", STRUCTURE, |p| sealed(&p.message, &p.signed)),
        of_parts("the whole Response encrypted", STRUCTURE, |p| p.response(&p.signed)),
        Case::xml("a forged assertion in clear beside the encrypted one", STRUCTURE, |scene, kind| {
            let parts = Parts::of(&scene.message);
            let encrypted = sealed(&parts.message, &parts.signed);
            parts.response(&kind.pick(encrypted.clone(), format!("{}{encrypted}", parts.forged)))
        }),
        Case::xml("behind it", STRUCTURE, |scene, kind| {
            let parts = Parts::of(&scene.message);
            let encrypted = sealed(&parts.message, &parts.signed);
            parts.response(&kind.pick(encrypted.clone(), format!("{encrypted}{}", parts.forged)))
        }),
        Case::xml("two encrypted assertions", STRUCTURE, |scene, kind| {
            let parts = Parts::of(&scene.message);
            let (genuine, forged) = (sealed(&parts.message, &parts.signed), sealed(&parts.message, &parts.forged));
            let forged = forged.replace("\"_e", "\"_f");
            parts.response(&kind.pick(genuine.clone(), format!("{genuine}{forged}")))
        }),
        Case::xml("another encrypted assertion in a Response that was signed", SIGNATURE, |scene, kind| {
            let (signed, parts) = (KEY.issue_encrypted(&scene.message, Sign::Response, &for_us()).unwrap(), Parts::of(&scene.message));
            let genuine = element(&signed, "saml:EncryptedAssertion").to_owned();
            let forged = sealed(&parts.message, &parts.forged);
            signed.replace(&genuine, &kind.pick(genuine.clone(), forged))
        }),
        Case::xml("the genuine encrypted assertion in Extensions, a forged one in its place", STRUCTURE, |scene, kind| {
            let parts = Parts::of(&scene.message);
            let (genuine, forged) = (sealed(&parts.message, &parts.signed), sealed(&parts.message, &parts.forged));
            let moved = format!("<samlp:Extensions>{}</samlp:Extensions><samlp:Status>", genuine.replace("\"_e", "\"_f"));
            kind.pick(parts.response(&genuine), replaced(&parts.response(&forged), "<samlp:Status>", &moved))
        }),
    ]
}

/// Anybody can encrypt for us.
fn signers() -> Vec<Case> {
    vec![
        encryptions("signed by nobody", ("signature", "neither the Response nor the encrypted Assertion"), |message| {
            KEY.issue_encrypted(message, Sign::Nothing, &for_us()).unwrap()
        }),
        encryptions("a foreign signature inside", SIGNATURE, |message| {
            FOREIGN_KEY.issue_encrypted(message, Sign::Assertion, &for_us()).unwrap()
        }),
        encryptions("a foreign signature around", SIGNATURE, |message| {
            FOREIGN_KEY.issue_encrypted(message, Sign::Response, &for_us()).unwrap()
        }),
        encryptions("a retired key's signature inside", SIGNATURE, |message| {
            RETIRED_KEY.issue_encrypted(message, Sign::Assertion, &for_us()).unwrap()
        }),
        encryptions("a foreign signature inside a Response that is signed", SIGNATURE, |message| {
            let signed = FOREIGN_KEY.sign(&message.assertion(), &message.assertion_id).unwrap();
            around(message, Sign::Response, &signed)
        }),
        encryptions("altered inside before the Response was signed", SIGNATURE, |message| {
            let signed = craft::sign(&message.assertion(), &message.assertion_id).replace("ada@", "eve@");
            around(message, Sign::Response, &signed)
        }),
        encryptions("encrypted for somebody else", UNREADABLE, |message| {
            let theirs = Encryption::new(FOREIGN_KEY.certificate().clone(), [5; 32]);
            KEY.issue_encrypted(message, Sign::Both, &theirs).unwrap()
        }),
        Case::new("sent to a connection without a key", ("decryption", "rolegate keys create"), |scene, kind| {
            let mut there = crate::common::idp::message(CURVED, "ada@acme.example", scene.now);
            there.attributes.clone_from(&scene.message.attributes);
            let key = &craft::EC_KEY;
            let clear = key.issue(&there, Sign::Both).unwrap();
            let encrypted = key.issue_encrypted(&there, Sign::Both, &for_us()).unwrap();
            Sent::xml(&kind.pick(clear, encrypted)).to(CURVED)
        }),
    ]
}

fn algorithms() -> Vec<Case> {
    const GCM: &str = "http://www.w3.org/2009/xmlenc11#aes256-gcm";
    const OAEP: &str = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p";
    let with = |content| Encryption { content, ..for_us() };
    let (small, large) = (with(ContentCipher::Aes128Cbc), with(ContentCipher::Aes256Cbc));
    let cbc = move |name: &str, sign, encryption: Encryption| {
        Case::xml(name, ("decryption", "allow_cbc"), move |scene, kind| {
            KEY.issue_encrypted(&scene.message, sign, &kind.pick(for_us(), encryption.clone())).unwrap()
        })
    };
    vec![
        cbc("AES-128-CBC that the connection does not take", Sign::Both, small),
        cbc("AES-256-CBC that the connection does not take", Sign::Response, large),
        outside("RSA with the padding of PKCS #1", ("decryption", "RSA"), OAEP, "http://www.w3.org/2001/04/xmlenc#rsa-1_5"),
        outside("3DES", DECRYPTION, GCM, "http://www.w3.org/2001/04/xmlenc#tripledes-cbc"),
        outside("AES-192", DECRYPTION, GCM, "http://www.w3.org/2009/xmlenc11#aes192-gcm"),
        outside("AES-CBC where GCM was meant", DECRYPTION, GCM, "http://www.w3.org/2001/04/xmlenc#aes256-cbc"),
        outside("AES-128 where 256 was meant", UNREADABLE, GCM, "http://www.w3.org/2009/xmlenc11#aes128-gcm"),
        outside("a key that is wrapped by a key", DECRYPTION, OAEP, "http://www.w3.org/2001/04/xmlenc#kw-aes256"),
        outside("no cipher at all", DECRYPTION, GCM, "urn:none"),
        outside(
            "OAEP with MD5",
            DECRYPTION,
            "rsa-oaep-mgf1p\"/>",
            "rsa-oaep-mgf1p\"><ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#md5\"/></xenc:EncryptionMethod>",
        ),
        outside(
            "OAEP with a label that is no base64",
            DECRYPTION,
            "rsa-oaep-mgf1p\"/>",
            "rsa-oaep-mgf1p\"><xenc:OAEPparams>!</xenc:OAEPparams></xenc:EncryptionMethod>",
        ),
        outside(
            "OAEP with another label",
            UNREADABLE,
            "rsa-oaep-mgf1p\"/>",
            "rsa-oaep-mgf1p\"><xenc:OAEPparams>AAAA</xenc:OAEPparams></xenc:EncryptionMethod>",
        ),
        outside(
            "content instead of an element",
            DECRYPTION,
            "http://www.w3.org/2001/04/xmlenc#Element",
            "http://www.w3.org/2001/04/xmlenc#Content",
        ),
    ]
}

fn ciphertexts() -> Vec<Case> {
    vec![
        bytes("the wrapped key altered", 0, |bytes| bytes[100] ^= 1),
        bytes("the wrapped key cut", 0, |bytes| bytes.truncate(255)),
        bytes("no wrapped key", 0, Vec::clear),
        bytes("a wrapped key of zeros", 0, |bytes| bytes.fill(0)),
        bytes("the content altered", 1, |bytes| bytes[200] ^= 1),
        bytes("the initialisation vector altered", 1, |bytes| bytes[0] ^= 1),
        bytes("the tag altered", 1, |bytes| *bytes.last_mut().unwrap() ^= 1),
        bytes("the tag cut", 1, |bytes| bytes.truncate(bytes.len() - 4)),
        bytes("a block too many", 1, |bytes| bytes.extend([0; 16])),
        bytes("less than a tag", 1, |bytes| bytes.truncate(20)),
        bytes("no content", 1, Vec::clear),
    ]
}

/// Where the key and the ciphertext stand.
fn places() -> Vec<Case> {
    const CIPHER: &str = "<xenc:CipherData><xenc:CipherValue>";
    let beside = |name: &str, uri: &'static str| {
        Case::xml(name, DECRYPTION, move |scene, kind| {
            let beside = Encryption { placement: Placement::Beside, ..for_us() };
            let good = KEY.issue_encrypted(&scene.message, Sign::Assertion, &beside).unwrap();
            replaced(&good, "URI=\"#_ek\"", &format!("URI=\"{}\"", kind.pick("#_ek", uri)))
        })
    };
    let encrypted_key = |name: &str, refused, place: fn(&str, &str) -> String| {
        Case::xml(name, refused, move |scene, kind| {
            let good = KEY.issue_encrypted(&scene.message, Sign::Assertion, &for_us()).unwrap();
            let key = element(&good, "xenc:EncryptedKey").to_owned();
            kind.pick::<fn(&str, &str) -> String>(|good, _| good.to_owned(), place)(&good, &key)
        })
    };
    vec![
        beside("a key on another machine", "http://127.0.0.1:9/key"),
        beside("a key in a file", "file:///etc/passwd"),
        beside("a key of another name", "#_other"),
        beside("a key of no name", ""),
        outside(
            "the ciphertext on another machine",
            DECRYPTION,
            CIPHER,
            "<xenc:CipherData><xenc:CipherReference URI=\"http://127.0.0.1:9/x\"/></xenc:CipherData><xenc:CipherData><xenc:CipherValue>",
        ),
        encrypted_key("no key", DECRYPTION, |good, key| good.replace(key, "")),
        encrypted_key("a key in two places", DECRYPTION, |good, key| {
            let second = format!("{}</saml:EncryptedAssertion>", key.replace("_ek", "_ek2"));
            replaced(good, "</saml:EncryptedAssertion>", &second)
        }),
        encrypted_key("two keys in one place", STRUCTURE, |good, key| good.replace(key, &format!("{key}{}", key.replace("_ek", "_ek2")))),
        encrypted_key("a key with the ID of the data", SCAN, |good, key| good.replace(key, &key.replace("_ek", "_ed"))),
    ]
}

/// What holds in clear holds encrypted.
fn conditions() -> Vec<Case> {
    let says = |name: &str, refused, change: fn(&mut Message)| {
        Case::xml(name, ("conditions", refused), move |scene, kind| {
            let mut message = scene.message.clone();
            kind.pick::<fn(&mut Message)>(|_| {}, change)(&mut message);
            KEY.issue_encrypted(&message, Sign::Assertion, &for_us()).unwrap()
        })
    };
    vec![
        says("for another audience", "Audience", |m| m.audiences = vec!["https://other.example".to_owned()]),
        says("for another recipient", "Recipient", |m| m.recipient = Some("https://other.example/acs".to_owned())),
        says("without an end", "NotOnOrAfter is missing", |m| m.not_on_or_after = None),
        says("of long ago", "NotOnOrAfter", |m| m.not_on_or_after = Some(NOW.plus_secs(-3600))),
        says("without a NameID", "NameID", |m| m.name_id = None),
        says("of a session that is over", "SessionNotOnOrAfter", |m| m.session_not_on_or_after = Some(NOW)),
    ]
}
