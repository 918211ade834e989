//! What a message can cost before its signature counts: read by our own reader within bounds, and nothing handed to libxml2, digested or
//! compared with a key until grammar and bounds have passed.

use rstest::rstest;

use super::*;
use crate::{domain::id::SpKeyId, saml::issuer::Encryption};

pub(super) static OURS: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("sp.example", now()).unwrap());

fn cost(xml: &str) -> (&'static str, Work) {
    let certificates = pinned(&[&RSA, &OTHER_RSA, &EC]);
    let keys = [DecryptionKey::of(SpKeyId::new(Uuid::from_u128(1)), OURS.pair()).unwrap()];
    let party = Party { decryption_keys: &keys, ..party(&certificates) };
    let (judged, work) = Work::of(|| crate::saml::verify(&STANDARD.encode(xml), &party, now()));
    (judged.map_or_else(|refusal| refusal.code(), |_| "accepted"), work)
}

/// What an XML of that many bytes fits into a form at most: 256 KiB of base64.
const LARGEST: usize = MAX_FORM_VALUE / 4 * 3;

/// Fills a shape up to the largest message: `piece` again and again in place of `@`.
fn filled(frame: &str, piece: &str) -> String {
    frame.replacen('@', &piece.repeat((LARGEST - frame.len()) / piece.len()), 1)
}

/// In a response for the grammar to read, at the place of a group; the assertion is unsigned but has a signature's form.
fn in_value(inside: &str) -> String {
    RSA.issue(&message(), Sign::Assertion).unwrap().replacen(">staff<", &format!(">{inside}<"), 1)
}

fn before_status(inside: &str) -> String {
    RSA.issue(&message(), Sign::Assertion).unwrap().replacen("<samlp:Status>", &format!("{inside}<samlp:Status>"), 1)
}

fn laughs() -> String {
    let entities: String = (1..40).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    format!("<!DOCTYPE r [<!ENTITY l0 \"lol\">{entities}]><r>&l39;</r>")
}

fn references() -> String {
    let one = "<ds:Reference URI=\"#x\"/>";
    let signed = RSA.issue(&message(), Sign::Assertion).unwrap();
    signed.replacen("<ds:Reference ", &format!("{}<ds:Reference ", one.repeat(5000)), 1)
}

fn transforms(inside: &str) -> String {
    let one = "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>";
    RSA.issue(&message(), Sign::Assertion).unwrap().replacen(one, inside, 1)
}

/// Each is refused by what our own reader sees.
#[rstest]
#[case::laughing_entities(laughs(), "doctype")]
#[case::a_long_document_type(filled("<!DOCTYPE r [@]><r/>", "<!ELEMENT a ANY>"), "doctype")]
#[case::twenty_thousand_attributes(filled("<r@/>", " a=\"\""), "root")]
#[case::twenty_thousand_attributes_in_a_value(in_value(&filled("<a@/>", " a=\"\"")[..LARGEST - 8192]), "malformed")]
#[case::many_attributes_in_a_value(in_value(&format!("<a{}/>", (0..10_000).map(|n| format!(" a{n}=\"\"")).collect::<String>())), "too_many_attributes")]
#[case::depth(in_value(&"<a>".repeat(50_000)), "too_deep")]
#[case::many_elements(in_value(&"<a/>".repeat(40_000)), "too_many_elements")]
#[case::many_references(references(), "missing_element")]
#[case::many_namespaces(in_value(&format!("<a{}/>", (0..5000).map(|n| format!(" xmlns:a{n}=\"urn:a\"")).collect::<String>())), "too_many_namespaces")]
#[case::xpath(transforms(&format!("<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>{}</ds:XPath></ds:Transform>", "count(//*) + ".repeat(500))), "unexpected_element")]
#[case::a_style_sheet(
    transforms(
        "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"><xsl:stylesheet xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" version=\"1.0\"/></ds:Transform>"
    ),
    "unexpected_element"
)]
#[case::many_transforms(transforms(&"<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>".repeat(1500)), "repeated")]
#[case::prefixes_to_be_included(transforms(&format!("<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"><ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"{}\"/></ds:Transform>", "a ".repeat(50_000))), "prefix_list")]
#[case::a_comment_without_end(before_status(&format!("<!--{}", "-".repeat(100_000))), "malformed")]
#[case::many_comments(before_status(&"<!---->".repeat(20_000)), "comment")]
#[case::references_to_characters(
    filled("<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\">@</samlp:Response>", "&#65;"),
    "missing_element"
)]
#[case::assertions(before_status(&"<saml:Assertion/>".repeat(10_000)), "missing_element")]
fn a_nasty_shape_costs_reading_and_no_more(#[case] xml: String, #[case] expected: &str) {
    assert!(xml.len() <= LARGEST, "{} bytes do not fit into a form", xml.len());
    let (code, work) = cost(&xml);
    assert_eq!(code, expected);
    assert_eq!((work.bytes_to_libxml, work.digests, work.key_operations), (0, 0, 0));
    assert!(work.bytes <= 2 * xml.len(), "{work:?} of {} bytes", xml.len());
    assert!(work.nodes <= 200_000, "{work:?}");
}

/// The same as the assertion that was encrypted for us: one key is asked, and then our own reader refuses.
#[rstest]
#[case::laughing_entities(laughs(), "doctype")]
#[case::depth(format!("<saml:Assertion>{}", "<a>".repeat(10_000)), "unexpected_element")]
#[case::attributes(format!("<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"{}/>", " a=\"\"".repeat(10_000)), "too_many_attributes")]
#[case::comments(format!("<!-- -->{}", message().assertion()), "comment")]
#[case::a_response(message().response(&message().assertion()), "root")]
#[case::an_encrypted_assertion_in_it(message().assertion().replacen("<saml:Subject>", "<saml:EncryptedAssertion/><saml:Subject>", 1), "unexpected_element")]
#[case::many_elements(message().assertion().replacen(">staff<", &format!(">{}<", "<a/>".repeat(20_000)), 1), "too_many_elements")]
#[case::many_references(RSA.sign(&message().assertion(), &message().assertion_id).unwrap().replacen("<ds:Reference ", &format!("{}<ds:Reference ", "<ds:Reference URI=\"#x\"/>".repeat(4000)), 1), "missing_element")]
fn the_same_inside_an_encrypted_assertion_costs_one_key_more(#[case] octets: String, #[case] expected: &str) {
    let xml = RSA.issue_around(&message(), Sign::Nothing, &octets, &Encryption::new(OURS.certificate().clone(), [5; 32])).unwrap();
    assert!(xml.len() <= LARGEST, "{} bytes do not fit into a form", xml.len());
    let (code, work) = cost(&xml);
    assert_eq!(code, expected);
    assert_eq!((work.bytes_to_libxml, work.digests, work.key_operations), (0, 0, 1));
    assert!(work.bytes <= 4 * xml.len(), "{work:?} of {} bytes", xml.len());
}

#[test]
fn a_signature_costs_one_look_with_each_key_that_could_have_made_it() {
    let tried = |xml: &str| {
        let (code, work) = cost(xml);
        (code, work.digests, work.key_operations)
    };
    assert_eq!(tried(&RSA.issue(&message(), Sign::Assertion).unwrap()), ("accepted", 1, 1));
    assert_eq!(tried(&RSA.issue(&message(), Sign::Both).unwrap()), ("accepted", 2, 2));
    assert_eq!(tried(&EC.issue(&message(), Sign::Assertion).unwrap()), ("accepted", 1, 1), "no RSA key is asked");
    let forged = IssuerKey::rsa("forger.example", now()).unwrap();
    assert_eq!(tried(&forged.issue(&message(), Sign::Both).unwrap()), ("signature", 4, 4), "two RSA keys, two signatures");
    assert_eq!(tried(&RSA.issue(&message(), Sign::Nothing).unwrap()), ("unsigned", 0, 0));
    // What libxml2 sees, it sees once for each of them.
    let (_, work) = cost(&forged.issue(&message(), Sign::Assertion).unwrap());
    assert_eq!(work.bytes_to_libxml, 2 * forged.issue(&message(), Sign::Assertion).unwrap().len());
}

#[test]
fn an_accepted_response_is_read_by_us_twice() {
    let xml = RSA.issue(&message(), Sign::Response).unwrap();
    let (code, work) = cost(&xml);
    assert_eq!(code, "accepted");
    // The message, and what of it was signed; each in two passes.
    assert!((2 * xml.len()..=4 * xml.len()).contains(&work.bytes), "{work:?}");
    assert!(work.nodes < 500);
}
