//! Properties of everything that reads what strangers write: it never panics, it does bounded work, and what it accepts means the same
//! when it is written again. `make properties` runs them for long; `fuzz/` has inputs that are led by the branches they reach.

use flate2::{Compression, write::DeflateEncoder};
use proptest::prelude::*;

use super::{
    super::{
        element::{Element, Ns},
        issuer::{Encryption, ReceivedRequest},
        scan::{self, Grammar},
        structure::{self, Root},
    },
    bounded::OURS,
    *,
};
use crate::domain::id::SpKeyId;

/// Pieces that readers of XML have stumbled over.
const NASTY: &[&str] = &[
    "<!--x-->",
    "<!---->",
    "<?x y?>",
    "<![CDATA[x]]>",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "<!DOCTYPE a>",
    "&b;",
    "&amp;",
    "&#0;",
    "&#x41;",
    "&#13;",
    "&#xD800;",
    "&lt;",
    "&",
    "<",
    ">",
    "/>",
    "</",
    "\"",
    "'",
    "=",
    " ",
    "\t",
    "\r\n",
    "\u{0}",
    "\u{feff}",
    "\u{200b}",
    "\u{fffe}",
    "\u{10ffff}",
    "é",
    "xmlns=\"\"",
    " xmlns=\"urn:x\"",
    " xmlns:a=\"urn:a\"",
    " xmlns:xml=\"urn:a\"",
    " ID=\"_x\"",
    " Id=\"_x\"",
    " xml:id=\"x\"",
    " xsi:type=\"x\"",
    "<a>",
    "</a>",
    "<a/>",
    "<saml:Assertion>",
    "</saml:Assertion>",
    "<saml:Subject>",
    "<ds:Signature>",
    "<ds:Object>",
    "</ds:Object>",
    "<saml:EncryptedAssertion>",
    "<samlp:Extensions/>",
    "<?xml version=\"1.0\"?>",
    "<?xml version=\"1.1\"?>",
];

#[derive(Debug, Clone)]
enum Edit {
    Insert(prop::sample::Index, prop::sample::Index),
    Remove(prop::sample::Index),
    Repeat(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Char(prop::sample::Index, char),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), at()).prop_map(|(place, piece)| Edit::Insert(place, piece)),
        at().prop_map(Edit::Remove),
        at().prop_map(Edit::Repeat),
        (at(), at()).prop_map(|(one, other)| Edit::Swap(one, other)),
        (at(), any::<char>()).prop_map(|(place, c)| Edit::Char(place, c)),
    ]
}

/// The text with its tags moved about and pieces put in.
fn edited(text: &str, edits: &[Edit]) -> String {
    let mut parts: Vec<String> = text.split_inclusive('>').flat_map(|part| part.split_inclusive(['"', ' '])).map(str::to_owned).collect();
    for edit in edits {
        let length = parts.len();
        match edit {
            Edit::Insert(place, piece) => parts.insert(place.index(length + 1), NASTY[piece.index(NASTY.len())].to_owned()),
            Edit::Remove(place) if length > 1 => drop(parts.remove(place.index(length))),
            Edit::Remove(_) => {}
            Edit::Repeat(place) => parts.insert(place.index(length), parts[place.index(length)].clone()),
            Edit::Swap(one, other) => parts.swap(one.index(length), other.index(length)),
            Edit::Char(place, c) => parts[place.index(length)].push(*c),
        }
    }
    parts.concat()
}

/// Another spelling of what was read: prefixes of our own, every character that could be one escaped, text before elements.
fn written(element: &Element, into: &mut String) {
    let prefix = |ns: Ns| format!("n{}", ns as u8);
    let open = |ns: Ns, name: &str| if ns == Ns::None { name.to_owned() } else { format!("{}:{name}", prefix(ns)) };
    let name = open(element.ns, &element.name);
    into.push('<');
    into.push_str(&name);
    for (n, attribute) in element.attributes.iter().enumerate() {
        let name = match attribute.ns {
            Ns::Xml => format!("xml:{}", attribute.name),
            // Several foreign vocabularies may have an attribute of one name.
            Ns::Other => {
                into.push_str(&format!(" xmlns:o{n}=\"urn:other:{n}\""));
                format!("o{n}:{}", attribute.name)
            }
            ns => open(ns, &attribute.name),
        };
        into.push_str(&format!(" {name}=\"{}\"", escaped(&attribute.value)));
    }
    into.push('>');
    into.push_str(&escaped(&element.text));
    for child in &element.children {
        written(child, into);
    }
    into.push_str(&format!("</{name}>"));
}

fn escaped(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("&#x{:x};", u32::from(c)) }).collect()
}

/// A whole document: the names of all vocabularies are declared on the root.
fn document(root: &Element) -> String {
    const URIS: [(Ns, &str); 11] = [
        (Ns::Protocol, "urn:oasis:names:tc:SAML:2.0:protocol"),
        (Ns::Assertion, "urn:oasis:names:tc:SAML:2.0:assertion"),
        (Ns::Metadata, "urn:oasis:names:tc:SAML:2.0:metadata"),
        (Ns::Signature, "http://www.w3.org/2000/09/xmldsig#"),
        (Ns::Signature11, "http://www.w3.org/2009/xmldsig11#"),
        (Ns::ExcC14n, "http://www.w3.org/2001/10/xml-exc-c14n#"),
        (Ns::Encryption, "http://www.w3.org/2001/04/xmlenc#"),
        (Ns::Encryption11, "http://www.w3.org/2009/xmlenc11#"),
        (Ns::SchemaInstance, "http://www.w3.org/2001/XMLSchema-instance"),
        (Ns::Other, "urn:other"),
        (Ns::Xml, ""),
    ];
    let mut text = String::new();
    written(root, &mut text);
    let end = text.find([' ', '>']).unwrap();
    let declared = URIS.iter().filter(|(_, uri)| !uri.is_empty()).map(|(ns, uri)| format!(" xmlns:n{}=\"{uri}\"", *ns as u8));
    format!("{}{}{}", &text[..end], declared.collect::<String>(), &text[end..])
}

static RESPONSE: LazyLock<String> = LazyLock::new(|| RSA.issue(&message(), Sign::Both).unwrap());
static METADATA: LazyLock<String> = LazyLock::new(|| RSA.metadata("https://idp.example/metadata", "https://idp.example/sso"));

fn for_us() -> Encryption {
    Encryption::new(OURS.certificate().clone(), [5; 32])
}

fn decrypted(xml: &str) -> Result<Assertion, Refusal> {
    let certificates = pinned(&[&RSA]);
    let keys = [DecryptionKey::of(SpKeyId::new(Uuid::from_u128(1)), OURS.pair()).unwrap()];
    crate::saml::verify(&STANDARD.encode(xml), &Party { decryption_keys: &keys, ..party(&certificates) }, now())
}

fn deflated(bytes: &[u8]) -> String {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    STANDARD.encode(encoder.finish().unwrap())
}

proptest! {
    /// The pre-scan and the grammar, on what looks like a response.
    #[test]
    fn a_response_that_is_read_means_the_same_when_it_is_written_again(edits in prop::collection::vec(edit(), 0..6)) {
        let text = edited(&RESPONSE, &edits);
        if let Ok(read) = scan::read(&text, Grammar::Closed(Root::Response)) {
            let again = scan::read(&document(&read), Grammar::Closed(Root::Response));
            prop_assert_eq!(again.as_ref(), Ok(&read));
            prop_assert_eq!(structure::check(&read), structure::check(&again.unwrap()));
        }
    }

    /// Whatever is done to the text, only what was signed is accepted.
    #[test]
    fn an_edited_response_is_refused_or_says_what_was_signed(edits in prop::collection::vec(edit(), 0..4)) {
        if let Ok(accepted) = verify(&edited(&RESPONSE, &edits)) {
            prop_assert_eq!(accepted, verify(&RESPONSE).unwrap());
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = scan::read(&text, Grammar::Closed(Root::Response));
        let _ = scan::read(&text, Grammar::Open);
        let _ = crate::saml::verify(&text, &party(&[]), now());
    }

    /// Metadata: what is read can be used, and says the same when it is written again.
    #[test]
    fn metadata_that_is_read_is_whole(edits in prop::collection::vec(edit(), 0..6)) {
        if let Ok(read) = IdpMetadata::parse(edited(&METADATA, &edits).as_bytes()) {
            prop_assert!(!read.entity_id.is_empty() && !read.certificates.is_empty());
            prop_assert!(read.sso_redirect_url.is_some() || read.sso_post_url.is_some());
            let mut text = String::new();
            for certificate in &read.certificates {
                prop_assert_eq!(certificate, RSA.certificate());
            }
            let Some(url) = &read.sso_redirect_url else { return Ok(()) };
            text.push_str(&RSA.metadata("ENTITY", "https://idp.example/x"));
            let text = text.replace("ENTITY", &escaped(&read.entity_id)).replace("https://idp.example/x", &escaped(url));
            let again = IdpMetadata::parse(text.as_bytes()).unwrap();
            prop_assert_eq!((&again.entity_id, &again.sso_redirect_url), (&read.entity_id, &read.sso_redirect_url));
        }
    }

    #[test]
    fn any_bytes_are_metadata_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = IdpMetadata::parse(&bytes);
    }

    /// Decryption: an edited message is refused, or says what was encrypted.
    #[test]
    fn an_edited_encrypted_response_is_refused_or_says_what_was_encrypted(edits in prop::collection::vec(edit(), 0..4)) {
        static ENCRYPTED: LazyLock<String> = LazyLock::new(|| RSA.issue_encrypted(&message(), Sign::Assertion, &for_us()).unwrap());
        if let Ok(accepted) = decrypted(&edited(&ENCRYPTED, &edits)) {
            prop_assert_eq!(accepted, decrypted(&ENCRYPTED).unwrap());
        }
    }

    /// Whatever a stranger encrypts for us is read by the same bounds, and never accepted.
    #[test]
    fn what_a_stranger_encrypts_for_us_is_refused(text in "\\PC{0,100}", edits in prop::collection::vec(edit(), 0..4), alike in any::<bool>()) {
        let octets = if alike { edited(&message().assertion(), &edits) } else { text };
        prop_assert!(decrypted(&RSA.issue_around(&message(), Sign::Nothing, &octets, &for_us()).unwrap()).is_err());
    }

    /// The Redirect binding: what is sent is what is read.
    #[test]
    fn a_request_is_read_as_it_was_sent(issuer in "[ -~é漢]{1,60}", acs in "https://[a-z/?&=<>\"']{1,40}", id in "_[a-f0-9]{32}") {
        let sent = format!("<samlp:AuthnRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"{id}\" AssertionConsumerServiceURL=\"{}\"><saml:Issuer>{}</saml:Issuer></samlp:AuthnRequest>", escaped(&acs), escaped(&issuer));
        let read = ReceivedRequest::parse(&deflated(sent.as_bytes())).unwrap();
        prop_assert_eq!(read, ReceivedRequest { id, issuer, acs_url: Some(acs) });
    }

    #[test]
    fn any_deflated_bytes_are_a_request_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>()) {
        let _ = ReceivedRequest::parse(&STANDARD.encode(&bytes));
        let whole = deflated(&bytes);
        let _ = ReceivedRequest::parse(&whole[..cut.index(whole.len() + 1)]);
    }
}

#[test]
fn inflating_ends_at_its_bound() {
    // A thousandfold: 64 MiB out of 64 KiB.
    let bomb = deflated(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 128 * 1024);
    assert!(ReceivedRequest::parse(&bomb).is_err());
    let valid = "<samlp:AuthnRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_1\"><saml:Issuer>x</saml:Issuer></samlp:AuthnRequest>";
    assert!(ReceivedRequest::parse(&deflated(valid.as_bytes())).is_ok());
    let padded = format!("{valid}{}", " ".repeat(64 << 20));
    // Cut at the bound, the rest is never looked at.
    assert!(ReceivedRequest::parse(&deflated(padded.as_bytes())).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Our scan reads a value as xmlsec's canonical form has it, however it was spelled.
    #[test]
    fn a_value_is_read_before_signing_as_after_it(parts in prop::collection::vec(("\\PC{0,12}", 0..3u8), 1..6)) {
        let (mut spelled, mut expected) = (String::new(), String::new());
        for (text, how) in &parts {
            let text: String = text.chars().filter(|c| super::super::lexical::is_xml_char(*c)).collect();
            spelled.push_str(&match how {
                0 => quick_xml::escape::escape(text.as_str()).into_owned(),
                1 => escaped(&text),
                _ => format!("<![CDATA[{}]]>", text.replace("]]>", "]] >")),
            });
            expected.push_str(&if *how == 2 { text.replace("]]>", "]] >") } else { text });
        }
        let assertion = message().assertion().replacen(">staff<", &format!(">{spelled}<"), 1);
        let signed = message().response(&RSA.sign(&assertion, &message().assertion_id).unwrap());
        let read = verify(&signed).unwrap();
        prop_assert_eq!(&read.attributes[1].values[0], &Value::Text(expected));
    }
}
