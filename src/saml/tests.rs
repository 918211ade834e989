//! Whole responses through `verify`: what must be accepted, what must be refused, each refusal beside an accepted control.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use rstest::rstest;
use uuid::Uuid;

use super::{
    issuer::{IssuerKey, Message, Sign},
    *,
};
use crate::domain::id::CertificateId;

const IDP: &str = "https://idp.example/metadata";
const SP: &str = "https://sp.example/connections/acme/saml/metadata";
const ACS: &str = "https://sp.example/connections/acme/saml/acs";

fn now() -> Timestamp {
    Timestamp::parse("2026-03-03T08:00:00Z").unwrap()
}

static RSA: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("idp.example", now()).unwrap());
static OTHER_RSA: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::rsa("other.example", now()).unwrap());
static EC: LazyLock<IssuerKey> = LazyLock::new(|| IssuerKey::ec("idp.example", now()).unwrap());

fn pinned(keys: &[&IssuerKey]) -> Vec<IdpCertificate> {
    let id = |n: usize| CertificateId::new(Uuid::from_u128(n as u128));
    keys.iter().enumerate().map(|(n, key)| IdpCertificate { id: id(n), certificate: key.certificate().clone() }).collect()
}

fn message() -> Message {
    let name_id = NameId { value: "ada@example.com".to_owned(), format: None };
    let mut message = Message::new([7; 16], IDP, SP, ACS, name_id, now());
    message.attributes = vec![
        ("email".to_owned(), vec!["ada@example.com".to_owned()]),
        ("groups".to_owned(), vec!["staff".to_owned(), "admins".to_owned()]),
    ];
    message
}

fn verify_at(xml: &str, certificates: &[IdpCertificate], now: Timestamp) -> Result<Assertion, Refusal> {
    let party = Party { sp_entity_id: SP, acs_url: ACS, idp_entity_id: IDP, certificates, skew_secs: 60, subject_from_attribute: false };
    super::verify(&STANDARD.encode(xml), &party, now)
}

fn verify(xml: &str) -> Result<Assertion, Refusal> {
    verify_at(xml, &pinned(&[&RSA]), now())
}

fn code(xml: &str) -> &'static str {
    verify(xml).map(|_| "accepted").unwrap_or_else(|refusal| refusal.code())
}

/// Signs after the assertion's XML was altered.
fn assertion_with(from: &str, to: &str) -> String {
    let message = message();
    let assertion = message.assertion();
    assert!(assertion.contains(from), "{from}");
    let assertion = RSA.sign(&assertion.replacen(from, to, 1), &message.assertion_id).unwrap();
    message.response(&assertion)
}

/// Alters a signed message.
fn signed_then(sign: Sign, from: &str, to: &str) -> String {
    let xml = RSA.issue(&message(), sign).unwrap();
    assert!(xml.contains(from), "{from}");
    xml.replacen(from, to, 1)
}

#[rstest]
fn a_response_is_accepted_however_it_is_signed(
    #[values(Sign::Assertion, Sign::Response, Sign::Both)] sign: Sign,
    #[values(&RSA, &EC)] key: &LazyLock<IssuerKey>,
) {
    let xml = key.issue(&message(), sign).unwrap();
    // Certificates of another kind, and of another key, stand before the right one.
    let certificates = pinned(&[&EC, &OTHER_RSA, &RSA]);
    let assertion = verify_at(&xml, &certificates, now()).unwrap();
    assert_eq!(assertion.issuer, IDP);
    assert_eq!(assertion.name_id.unwrap().value, "ada@example.com");
    assert_eq!(assertion.attributes[1].values, [Value::Text("staff".to_owned()), Value::Text("admins".to_owned())]);
    assert_eq!(assertion.usable_until, now().plus_secs(360));
    assert_eq!(assertion.in_response_to, None);
    let expected = certificates.iter().find(|known| known.certificate == *key.certificate()).unwrap();
    assert_eq!(assertion.verified_with, expected.id);
}

#[test]
fn base64_may_be_wrapped_and_nothing_else() {
    let certificates = pinned(&[&RSA]);
    let party = Party {
        sp_entity_id: SP,
        acs_url: ACS,
        idp_entity_id: IDP,
        certificates: &certificates,
        skew_secs: 60,
        subject_from_attribute: false,
    };
    let encoded = STANDARD.encode(RSA.issue(&message(), Sign::Both).unwrap());
    let wrapped = encoded.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\r\n");
    super::verify(&wrapped, &party, now()).unwrap();
    let refused = |text: &str| super::verify(text, &party, now()).unwrap_err().code();
    assert_eq!(refused(&format!("{encoded}!")), "base64");
    assert_eq!(refused(&encoded.replacen('A', "\t", 1)), "base64");
    assert_eq!(refused(&encoded[..encoded.len() - 3]), "base64");
    assert_eq!(refused(&STANDARD.encode(b"<a>\xff</a>")), "utf8");
    assert_eq!(refused(&"A".repeat(MAX_FORM_VALUE + 4)), "too_long");
    assert_eq!(refused(""), "malformed");
}

/// What identity providers write differently, in signed bytes.
#[rstest]
#[case::statements_in_the_order_of_entra(
    "</saml:AuthnStatement>",
    "</saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name=\"x\"/></saml:AttributeStatement>"
)]
#[case::nil_and_foreign_attributes_of_ad_fs(
    "<saml:AttributeStatement>",
    "<saml:AttributeStatement><saml:Attribute Name=\"x\" a:OriginalIssuer=\"y\" xmlns:a=\"http://schemas.xmlsoap.org/ws/2009/09/identity/claims\"><saml:AttributeValue xml:lang=\"en\" xsi:nil=\"true\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"/></saml:Attribute>"
)]
#[case::one_element_per_group_of_keycloak(
    "<saml:AttributeStatement>",
    "<saml:AttributeStatement><saml:Attribute Name=\"groups\"><saml:AttributeValue>g</saml:AttributeValue></saml:Attribute>"
)]
#[case::markup_in_a_value_of_shibboleth(
    "<saml:AttributeStatement>",
    "<saml:AttributeStatement><saml:Attribute Name=\"urn:oid:1.3.6.1.4.1.5923.1.1.1.10\"><saml:AttributeValue><saml:NameID>x</saml:NameID></saml:AttributeValue></saml:Attribute>"
)]
#[case::a_prefix_bound_again_by_pysaml2(
    "<saml:Subject>",
    "<ns0:Subject xmlns:ns0=\"urn:oasis:names:tc:SAML:2.0:assertion\"></ns0:Subject><saml:Subject>"
)]
#[case::milliseconds_and_offsets("IssueInstant=\"2026-03-03T08:00:00Z\"", "IssueInstant=\"2026-03-03T10:00:00.1234567+02:00\"")]
#[case::cdata_and_references(
    "<saml:AttributeStatement>",
    "<saml:AttributeStatement><saml:Attribute Name=\"a&#38;b\"><saml:AttributeValue><![CDATA[<]]>&lt;&#x10FFFF;</saml:AttributeValue></saml:Attribute>"
)]
#[case::one_time_use_and_locality(
    "<saml:AudienceRestriction>",
    "<saml:OneTimeUse/><saml:ProxyRestriction Count=\"0\"/><saml:AudienceRestriction>"
)]
#[case::another_confirmation_beside_bearer(
    "<saml:SubjectConfirmation ",
    "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:sender-vouches\"/><saml:SubjectConfirmation "
)]
fn habits_of_identity_providers_are_accepted(#[case] from: &str, #[case] to: &str) {
    if to.contains("ns0:Subject") {
        // Bound again on the element itself, instead of a second Subject.
        let xml = message().assertion().replace("<saml:Subject>", "<ns0:Subject xmlns:ns0=\"urn:oasis:names:tc:SAML:2.0:assertion\">");
        let xml = xml.replace("</saml:Subject>", "</ns0:Subject>");
        verify(&message().response(&RSA.sign(&xml, &message().assertion_id).unwrap())).unwrap();
        return;
    }
    verify(&assertion_with(from, to)).unwrap();
}

#[test]
fn inclusive_namespaces_of_okta_and_an_xml_declaration_are_accepted() {
    let message = message();
    let inclusive = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"><ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"xs\"/></ds:Transform>";
    let template =
        RSA.template(&message.assertion_id).replace("<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>", inclusive);
    let assertion = sign_template(&message.assertion(), &template);
    let response = message.response(&assertion);
    let signed = RSA.sign(&response, &message.response_id).unwrap();
    verify(&format!("<?xml version=\"1.0\" encoding='utf-8' standalone=\"no\"?>\r\n{signed}\n")).unwrap();
}

/// Signs with a template of the test's own.
fn sign_template(xml: &str, template: &str) -> String {
    let with_template = xml.replacen("</saml:Issuer>", &format!("</saml:Issuer>{template}"), 1);
    RSA.sign_templated(&with_template).unwrap()
}

/// Steps 2 and 3: refused as bytes or XML.
#[rstest]
#[case("bom", "<samlp:Response", "\u{feff}<samlp:Response")]
#[case("character", "Version", "\u{0}Version")]
#[case("character", "ada@", "\u{1}ada@")]
#[case("character", "ada@", "\u{fffe}ada@")]
#[case("xml_version", "<samlp:Response", "<?xml version=\"1.1\"?><samlp:Response")]
#[case("xml_encoding", "<samlp:Response", "<?xml version=\"1.0\" encoding=\"UTF-7\"?><samlp:Response")]
#[case("malformed", "<samlp:Response", "<?xml version=\"1.0\" encoding=\"UTF-8\" encoding=\"UTF-7\"?><samlp:Response")]
#[case("malformed", "<samlp:Response", " <?xml version=\"1.0\"?><samlp:Response")]
#[case("doctype", "<samlp:Response", "<!DOCTYPE a [<!ENTITY x \"y\">]><samlp:Response")]
#[case("processing_instruction", "<samlp:Status>", "<?x y?><samlp:Status>")]
#[case("processing_instruction", "<samlp:Response", "<?xml-stylesheet href=\"x\"?><samlp:Response")]
#[case("comment", "ada@example.com", "ada@example.com<!---->.evil.example")]
#[case("comment", "<samlp:Status>", "<!-- x --><samlp:Status>")]
#[case("malformed", "ada@", "&nbsp;ada@")]
#[case("malformed", "ada@", "&#0;ada@")]
#[case("malformed", "ada@", "&#xD800;ada@")]
#[case("malformed", "ada@", "]]>ada@")]
#[case("malformed", "ada@", "&ada@")]
#[case("malformed", "</samlp:Response>", "")]
#[case("malformed", "</samlp:Response>", "</samlp:Response><x/>")]
#[case("malformed", "</samlp:Response>", "</samlp:Response>x")]
#[case("malformed", "</samlp:Response>", "</samlp:Response><![CDATA[ ]]>")]
#[case("malformed", "</samlp:Status>", "</samlp:status>")]
#[case("malformed", " Version=", " ID=\"other\" Version=")]
#[case("malformed", " Version=", "Version=")]
#[case("malformed", " Version=", " x Version=")]
#[case("malformed", " Version=", " x=y Version=")]
#[case("malformed", "Version=\"2.0\"", "Version=\"<2.0\"")]
#[case("malformed", "Version=\"2.0\"", "Version=\"&x;2.0\"")]
#[case("malformed", " Version=", " \u{e9}=\"\" Version=")]
#[case("prefix", "<samlp:Status>", "<other:Status>")]
#[case("namespace", " Version=", " xmlns:a=\"relative\" Version=")]
#[case("namespace", " Version=", " xmlns:a=\"\" Version=")]
#[case("namespace", " Version=", " xmlns:a=\"urn:a&#58;b\" Version=")]
#[case("malformed", " Version=", " xmlns:a=\"http://www.w3.org/XML/1998/namespace\" Version=")]
#[case("id", " ID=\"_", " ID=\"1_")]
#[case("id", " ID=\"_", " ID=\"a:_")]
#[case("id", " ID=\"_", " ID=\"")]
fn what_is_not_plain_xml_is_refused_before_any_cryptography(#[case] expected: &str, #[case] from: &str, #[case] to: &str) {
    assert_eq!(code(&signed_then(Sign::Assertion, "Version", "Version")), "accepted");
    let xml = signed_then(Sign::Assertion, from, to);
    let xml = if to == " ID=\"" { xml.replacen(" ID=\"", &format!(" ID=\"{}", "a".repeat(257)), 1) } else { xml };
    let refusal = verify(&xml).unwrap_err();
    // The XML reader itself refuses some of them in its own words.
    assert_eq!(refusal.code(), expected, "{refusal}");
    assert_eq!(refusal.step, Step::Scan);
}

#[test]
fn bounds_hold_before_anything_is_built() {
    let nested = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
    assert_eq!(code(&assertion_with("staff", &nested)), "too_deep");
    let attributes: String = (0..25).fold(String::new(), |all, n| format!("{all} a{n}=\"\""));
    assert_eq!(code(&signed_then(Sign::Assertion, " Version=", &format!("{attributes} Version="))), "too_many_attributes");
    assert_eq!(code(&assertion_with("staff", &"<a/>".repeat(10_000))), "too_many_elements");
    let spaces = |from: usize| (from..from + 20).fold(String::new(), |all, n| format!("{all} xmlns:n{n}=\"urn:n\""));
    let many = format!("<a{}><b{}><c{}><d{}/></c></b></a>", spaces(0), spaces(20), spaces(40), spaces(60));
    assert_eq!(code(&assertion_with("staff", &many)), "malformed");
    // Thousands of groups pass.
    let groups = "</saml:AttributeValue><saml:AttributeValue>g".repeat(2000);
    assert_eq!(code(&assertion_with("staff", &groups)), "accepted");
}

/// Step 4: the closed grammar, asked of the unsigned envelope and of signed content alike.
#[rstest]
#[case("root", "samlp:Response", "samlp:LogoutResponse")]
#[case("root", "xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"", "xmlns:samlp=\"urn:other\"")]
#[case("unexpected_element", "<samlp:Status>", "<samlp:Extensions/><samlp:Status>")]
#[case("unexpected_element", "<samlp:Status>", "<x/><samlp:Status>")]
#[case("repeated", "<samlp:Status>", "<samlp:Status><samlp:StatusCode Value=\"x\"/></samlp:Status><samlp:Status>")]
#[case("repeated", "<samlp:Status>", "<saml:Issuer>x</saml:Issuer><samlp:Status>")]
#[case("unexpected_text", "<samlp:Status>", "x<samlp:Status>")]
#[case("missing_element", "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/>", "")]
#[case("missing_attribute", " Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"", "")]
#[case("missing_attribute", " Version=\"2.0\"", "")]
#[case("unexpected_attribute", " Version=", " Other=\"x\" Version=")]
#[case("unexpected_attribute", " Version=", " xml:base=\"x\" Version=")]
#[case("unexpected_attribute", " Version=", " xmlns:x=\"urn:x\" x:ID=\"x\" Version=")]
#[case("xsi_type", " Version=", " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"x\" Version=")]
#[case("unexpected_attribute", " Version=", " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"x y\" Version=")]
#[case("markup", "<saml:Issuer>", "<saml:Issuer><b/>")]
#[case("issuer_format", "<saml:Issuer>", "<saml:Issuer Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">")]
#[case("encrypted_assertion", "<samlp:Status>", "<saml:EncryptedAssertion/><samlp:Status>")]
#[case("missing_element", "<samlp:Status><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>", "")]
fn an_envelope_outside_the_grammar_is_refused(#[case] expected: &str, #[case] from: &str, #[case] to: &str) {
    let xml = RSA.issue(&message(), Sign::Assertion).unwrap();
    assert_eq!(code(&xml), "accepted");
    assert!(xml.contains(from));
    let altered = if expected == "root" { xml.replace(from, to) } else { xml.replacen(from, to, 1) };
    assert_eq!(code(&altered), expected);
}

#[rstest]
#[case("unexpected_element", "<saml:Subject>", "<saml:Advice/><saml:Subject>")]
#[case("unexpected_element", "<saml:AudienceRestriction>", "<saml:Condition/><saml:AudienceRestriction>")]
#[case("unexpected_element", "<saml:AuthnStatement ", "<saml:AuthzDecisionStatement/><saml:AuthnStatement ")]
#[case("unexpected_element", "<saml:SubjectConfirmation ", "<saml:BaseID/><saml:SubjectConfirmation ")]
#[case("encrypted_id", "<saml:SubjectConfirmation ", "<saml:EncryptedID/><saml:SubjectConfirmation ")]
#[case("encrypted_attribute", "<saml:AttributeStatement>", "<saml:AttributeStatement><saml:EncryptedAttribute/>")]
#[case("repeated", "<saml:NameID>", "<saml:NameID>x</saml:NameID><saml:NameID>")]
#[case("repeated", "<saml:Conditions ", "<saml:Conditions/><saml:Conditions ")]
#[case("repeated", "<saml:Subject>", "<saml:Subject/><saml:Subject>")]
#[case("missing_element", "<saml:Audience>https://sp.example/connections/acme/saml/metadata</saml:Audience>", "")]
#[case("missing_attribute", " Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"", "")]
#[case("missing_attribute", "<saml:AttributeStatement>", "<saml:AttributeStatement><saml:Attribute/>")]
#[case("markup", "<saml:NameID>", "<saml:NameID><b/>")]
#[case("xsi_type", "<saml:Attribute ", "<saml:Attribute xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"x\" ")]
#[case("unexpected_element", "staff", "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>")]
#[case("unexpected_element", "staff", "<ds:Object xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/>")]
#[case("unexpected_element", "staff", "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"/>")]
#[case("unexpected_attribute", "staff", "<x ID=\"y\"/>")]
#[case("unexpected_attribute", "staff", "<x id=\"y\"/>")]
#[case("unexpected_attribute", "staff", "<x xml:id=\"y\"/>")]
#[case("unexpected_attribute", "<saml:AttributeValue ", "<saml:AttributeValue xml:id=\"y\" ")]
fn an_assertion_outside_the_grammar_is_refused_even_when_signed(#[case] expected: &str, #[case] from: &str, #[case] to: &str) {
    assert_eq!(code(&assertion_with("staff", "staff")), "accepted");
    assert_eq!(code(&assertion_with(from, to)), expected);
}

/// Signatures that the key owner made, yet say what none may say.
#[rstest]
#[case(
    "canonicalization",
    "CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"",
    "CanonicalizationMethod Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\""
)]
#[case(
    "canonicalization",
    "CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"",
    "CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#WithComments\""
)]
#[case("sha1", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2000/09/xmldsig#rsa-sha1")]
#[case("sha1", "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha1")]
#[case("algorithm", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")]
#[case("algorithm", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmldsig-more#rsa-md5")]
#[case("algorithm", "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#md5")]
#[case("reference", "URI=\"#", "URI=\"#x")]
#[case("reference", "URI=\"#", "URI=\"http://internal.example/#")]
#[case("reference", "URI=\"#", "URI=\"#xpointer(id('")]
#[case("unexpected_attribute", "URI=", "Type=")]
#[case("transforms", "http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xpath-19991116")]
#[case("transforms", "http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xslt-19991116")]
#[case("missing_element", "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>", "")]
#[case(
    "unexpected_element",
    "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>",
    "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"><ds:XPath/></ds:Transform>"
)]
#[case("unexpected_element", "<ds:KeyInfo>", "<ds:KeyInfo><ds:RetrievalMethod URI=\"http://internal.example/\"/>")]
#[case("unexpected_element", "<ds:KeyInfo>", "<ds:Object><x/></ds:Object><ds:KeyInfo>")]
#[case("repeated", "<ds:SignatureValue>", "<ds:SignedInfo/><ds:SignatureValue>")]
#[case("unexpected_element", "<ds:X509Certificate>", "<ds:Signature/><ds:X509Certificate>")]
#[case("unexpected_attribute", "<ds:X509Certificate>", "<ds:X509Certificate ID=\"x\">")]
fn a_signature_that_says_more_than_it_may_is_refused_before_it_is_computed(#[case] expected: &str, #[case] from: &str, #[case] to: &str) {
    assert_eq!(code(&signed_then(Sign::Assertion, from, to)), expected);
}

#[test]
fn the_refusal_of_sha1_names_the_cure() {
    let xml =
        signed_then(Sign::Assertion, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2000/09/xmldsig#rsa-sha1");
    assert!(verify(&xml).unwrap_err().to_string().contains("SHA-256 at the identity provider"));
}

/// Step 5, beside `a_response_is_accepted_however_it_is_signed`.
#[rstest]
#[case("ada@example.com", "eve@example.com")]
#[case("<saml:AttributeValue ", "<saml:AttributeValue></saml:AttributeValue><saml:AttributeValue ")]
#[case("Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"", "Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearers\"")]
#[case("PrefixedAuthn", "")]
fn a_signed_message_that_was_altered_is_refused(
    #[case] from: &str,
    #[case] to: &str,
    #[values(Sign::Assertion, Sign::Response, Sign::Both)] sign: Sign,
) {
    let xml = RSA.issue(&message(), sign).unwrap();
    let altered = if from == "PrefixedAuthn" {
        // The signature value itself.
        let at = xml.find("<ds:SignatureValue>").unwrap() + "<ds:SignatureValue>".len();
        let other = if &xml[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &xml[..at], &xml[at + 1..])
    } else {
        xml.replacen(from, to, 1)
    };
    assert_ne!(xml, altered);
    assert_eq!(code(&altered), "signature");
}

#[test]
fn a_message_without_a_signature_or_of_another_key_is_refused() {
    assert_eq!(code(&RSA.issue(&message(), Sign::Nothing).unwrap()), "unsigned");
    assert_eq!(code(&OTHER_RSA.issue(&message(), Sign::Both).unwrap()), "signature");
    assert_eq!(code(&EC.issue(&message(), Sign::Both).unwrap()), "signature");
    let signed = RSA.issue(&message(), Sign::Both).unwrap();
    assert_eq!(verify_at(&signed, &[], now()).unwrap_err().code(), "no_certificate");
    // Two signatures of two keys are not one word.
    let message = message();
    let assertion = OTHER_RSA.sign(&message.assertion(), &message.assertion_id).unwrap();
    let mixed = RSA.sign(&message.response(&assertion), &message.response_id).unwrap();
    assert_eq!(verify_at(&mixed, &pinned(&[&RSA, &OTHER_RSA]), now()).unwrap_err().code(), "signature");
}

/// The parts from which wrapped messages are made: a signed assertion, its signature, and a forged assertion.
struct Parts {
    signed: String,
    signature: String,
    bare: String,
    forged: String,
    id: String,
}

fn parts() -> Parts {
    let message = message();
    let signed = RSA.sign(&message.assertion(), &message.assertion_id).unwrap();
    let (start, end) = (signed.find("<ds:Signature ").unwrap(), signed.find("</ds:Signature>").unwrap() + "</ds:Signature>".len());
    let signature = signed[start..end].to_owned();
    let forged = message.assertion().replace("ada@", "eve@").replace(&message.assertion_id, "_forged");
    Parts { bare: signed.replace(&signature, ""), signature, signed, forged, id: message.assertion_id }
}

impl Parts {
    /// The forged assertion with something behind its Issuer.
    fn forged_with(&self, inside: &str) -> String {
        self.forged.replacen("</saml:Issuer>", &format!("</saml:Issuer>{inside}"), 1)
    }

    fn signature_with(&self, inside: &str) -> String {
        self.signature.replacen("</ds:KeyInfo>", &format!("</ds:KeyInfo>{inside}"), 1)
    }
}

#[test]
fn signature_wrapping_is_refused_before_any_cryptography() {
    let message = message();
    let p = parts();
    assert_eq!(code(&message.response(&p.signed)), "accepted");
    let in_object = |inside: &str| format!("<ds:Object>{inside}</ds:Object>");
    let in_status = |detail: &str, assertion: &str| {
        message.response(assertion).replacen(
            "</samlp:Status>",
            &format!("<samlp:StatusDetail>{detail}</samlp:StatusDetail></samlp:Status>"),
            1,
        )
    };
    let extended = |inside: &str, assertion: &str| {
        message.response(assertion).replacen("<samlp:Status>", &format!("<samlp:Extensions>{inside}</samlp:Extensions><samlp:Status>"), 1)
    };
    let in_value = |inside: &str| p.forged.replacen("staff", inside, 1);
    let signed_response = RSA.issue(&message, Sign::Response).unwrap();
    let response_signature = {
        let (start, end) = (signed_response.find("<ds:Signature ").unwrap(), signed_response.find("</ds:Signature>").unwrap() + 15);
        signed_response[start..end].to_owned()
    };
    let bare_response = signed_response.replace(&response_signature, "");
    let forged_response = message.response(&p.forged).replace(&message.response_id, "_forged-response");
    let forged_response_with = |inside: &str| forged_response.replacen("</saml:Issuer>", &format!("</saml:Issuer>{inside}"), 1);
    let wrapped = [
        ("the forged assertion before the signed one", message.response(&format!("{}{}", p.forged, p.signed))),
        ("the forged assertion behind the signed one", message.response(&format!("{}{}", p.signed, p.forged))),
        ("the signed assertion inside the forged one", message.response(&p.forged_with(&p.signed))),
        (
            "the signature moved into the forged one, the original beside it",
            message.response(&format!("{}{}", p.forged_with(&p.signature), p.bare)),
        ),
        (
            "the signature moved into the forged one, the original inside the signature",
            message.response(&p.forged_with(&p.signature_with(&in_object(&p.bare)))),
        ),
        (
            "the forged one inside the signature's Object",
            message.response(&p.signed.replace(&p.signature, &p.signature_with(&in_object(&p.forged)))),
        ),
        ("the original in Extensions", extended(&p.signed, &p.forged)),
        ("the original in Extensions, its signature in the forged one", extended(&p.bare, &p.forged_with(&p.signature))),
        ("the original in StatusDetail", in_status(&p.signed, &p.forged)),
        ("the original in StatusDetail, its signature in the forged one", in_status(&p.bare, &p.forged_with(&p.signature))),
        ("the original in a value of the forged one", message.response(&in_value(&p.signed))),
        (
            "the original in KeyInfo",
            message.response(&p.forged_with(&p.signature.replacen("<ds:X509Certificate>", &format!("{}<ds:X509Certificate>", p.bare), 1))),
        ),
        ("the forged one with the original's ID", message.response(&format!("{}{}", p.forged.replace("_forged", &p.id), p.signed))),
        (
            "the original with its ID in another attribute",
            message.response(&format!("{}{}", p.forged_with(&p.signature).replace("_forged", &p.id), p.bare.replace(" ID=", " Id="))),
        ),
        ("a reference to the whole document", message.response(&p.forged_with(&p.signature.replace(&format!("#{}", p.id), "")))),
        ("the signature as a child of the Response, the original in a value", {
            message.response(&in_value(&p.bare)).replacen("<samlp:Status>", &format!("{}<samlp:Status>", p.signature), 1)
        }),
        ("two signatures on one assertion", message.response(&p.signed.replace(&p.signature, &p.signature.repeat(2)))),
        ("the forged one in another namespace's wrapper", message.response(&format!("<x xmlns=\"urn:x\">{}</x>{}", p.signed, p.forged))),
        ("the signed Response inside the forged one", forged_response_with(&signed_response)),
        (
            "the signed Response inside the signature of the forged one",
            forged_response_with(&response_signature.replacen("</ds:KeyInfo>", &format!("</ds:KeyInfo>{}", in_object(&bare_response)), 1)),
        ),
        (
            "the signed Response in StatusDetail of the forged one",
            forged_response_with(&response_signature).replacen(
                "</samlp:Status>",
                &format!("<samlp:StatusDetail>{bare_response}</samlp:StatusDetail></samlp:Status>"),
                1,
            ),
        ),
        ("the signature of the Response on a forged one", forged_response_with(&response_signature)),
        (
            "a second assertion in a signed Response",
            signed_response.replacen("</samlp:Response>", &format!("{}</samlp:Response>", p.forged), 1),
        ),
    ];
    for (how, xml) in wrapped {
        let refusal = verify(&xml).expect_err(how);
        assert!(refusal.step < Step::Signature, "{how}: {refusal}");
    }
    // What stays within the grammar meets the digest.
    let forged_same_id = p.forged_with(&p.signature).replace("_forged", &p.id);
    assert_eq!(code(&message.response(&forged_same_id)), "signature");
    // An unsigned Response around a signed assertion is the attacker's to write, and gives them nothing.
    assert_eq!(code(&message.response(&p.forged)), "unsigned");
}

type Edit = fn(&mut Message);

/// Step 8, in a message that is signed as a whole.
#[rstest]
#[case("status", |m: &mut Message| m.status = "urn:oasis:names:tc:SAML:2.0:status:Responder".to_owned())]
#[case("issuer", |m: &mut Message| m.issuer = "https://idp.example/metadata/".to_owned())]
#[case("destination", |m: &mut Message| m.destination = Some(format!("{ACS}/")))]
#[case("destination", |m: &mut Message| m.destination = None)]
#[case("recipient", |m: &mut Message| m.recipient = Some("https://other.example/acs".to_owned()))]
#[case("recipient", |m: &mut Message| m.recipient = None)]
#[case("audience", |m: &mut Message| m.audiences = vec!["https://other.example".to_owned()])]
#[case("audience", |m: &mut Message| m.audiences.push("https://other.example".to_owned()))]
#[case("no_audience", |m: &mut Message| m.audiences.clear())]
#[case("no_expiry", |m: &mut Message| m.not_on_or_after = None)]
#[case("no_name_id", |m: &mut Message| m.name_id = None)]
#[case("no_authn_statement", |m: &mut Message| m.authn_instant = None)]
#[case("session_expired", |m: &mut Message| m.session_not_on_or_after = Some(now().plus_secs(-60)))]
fn what_is_not_meant_for_us_is_refused(#[case] expected: &str, #[case] edit: Edit, #[values(Sign::Response, Sign::Both)] sign: Sign) {
    assert_eq!(code(&RSA.issue(&message(), sign).unwrap()), "accepted");
    let mut message = message();
    edit(&mut message);
    assert_eq!(code(&RSA.issue(&message, sign).unwrap()), expected);
}

#[rstest]
#[case("version", "<saml:Assertion", "Version=\"2.0\"", "Version=\"1.1\"")]
#[case("no_conditions", "<saml:Conditions", "", "")]
#[case("no_bearer", "cm:bearer", "cm:bearer", "cm:holder-of-key")]
#[case("time", "IssueInstant", "2026-03-03T08:00:00Z", "2026-03-03T08:00:00")]
#[case(
    "not_yet_valid",
    "<saml:SubjectConfirmationData",
    "<saml:SubjectConfirmationData",
    "<saml:SubjectConfirmationData NotBefore=\"2026-03-03T08:01:00.001Z\""
)]
fn a_signed_assertion_with_wrong_conditions_is_refused(#[case] expected: &str, #[case] near: &str, #[case] from: &str, #[case] to: &str) {
    let message = message();
    let assertion = message.assertion();
    let altered = if expected == "no_conditions" {
        let (start, end) =
            (assertion.find("<saml:Conditions").unwrap(), assertion.find("</saml:Conditions>").unwrap() + "</saml:Conditions>".len());
        format!("{}{}", &assertion[..start], &assertion[end..])
    } else {
        let at = assertion.find(near).unwrap();
        format!("{}{}", &assertion[..at], assertion[at..].replacen(from, to, 1))
    };
    assert_ne!(assertion, altered);
    assert_eq!(code(&message.response(&RSA.sign(&altered, &message.assertion_id).unwrap())), expected);
}

#[test]
fn an_unsigned_envelope_is_checked_all_the_same() {
    let xml = RSA.issue(&message(), Sign::Assertion).unwrap();
    let with = |from: &str, to: &str| code(&xml.replacen(from, to, 1));
    assert_eq!(with("status:Success", "status:Requester"), "status");
    assert_eq!(with("<saml:Issuer>https://idp", "<saml:Issuer>https://evil"), "issuer");
    assert_eq!(with(&format!("Destination=\"{ACS}\""), "Destination=\"https://evil.example\""), "destination");
    assert_eq!(with(&format!("Destination=\"{ACS}\""), ""), "accepted");
    assert_eq!(with("<saml:Issuer>https://idp.example/metadata</saml:Issuer>", ""), "accepted");
    assert_eq!(with("Version=\"2.0\"", "Version=\"1.1\""), "version");
    assert_eq!(with("IssueInstant=\"2026-03-03T08:00:00Z\"", "IssueInstant=\"2026-03-03T08:01:01Z\""), "issued_in_future");
    assert_eq!(with("IssueInstant=\"2026-03-03T08:00:00Z\"", "IssueInstant=\"2026-03-03T08:01:00Z\""), "accepted");
}

#[test]
fn a_reported_failure_is_told_by_its_codes_and_not_by_its_text() {
    let xml = message().response("").replace(
        "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/>",
        "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Responder\"><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:AuthnFailed\"/></samlp:StatusCode><samlp:StatusMessage>Ada Lovelace is not assigned</samlp:StatusMessage>",
    );
    let refusal = verify(&xml).unwrap_err();
    assert_eq!(refusal.code(), "status");
    assert!(refusal.to_string().contains("AuthnFailed") && !refusal.to_string().contains("Ada"), "{refusal}");
    assert_eq!(code(&message().response("")), "missing_element");
}

/// NotBefore is inclusive, NotOnOrAfter exclusive, and the skew of 60 seconds widens both.
#[rstest]
#[case(-60_001, "issued_in_future")]
#[case(-60_000, "accepted")]
#[case(0, "accepted")]
#[case(359_999, "accepted")]
#[case(360_000, "expired")]
fn an_assertion_holds_from_its_start_to_just_before_its_end(#[case] after_ms: i64, #[case] expected: &str) {
    let xml = RSA.issue(&message(), Sign::Both).unwrap();
    let at = Timestamp::from_millis(now().millis() + after_ms);
    let found = verify_at(&xml, &pinned(&[&RSA]), at).map_or_else(|refusal| refusal.code(), |_| "accepted");
    assert_eq!(found, expected);
}

#[test]
fn a_start_in_the_future_is_refused_beyond_the_skew() {
    let starts = |secs: i64| {
        let mut message = message();
        message.not_before = Some(now().plus_secs(secs));
        code(&RSA.issue(&message, Sign::Both).unwrap())
    };
    assert_eq!(starts(60), "accepted");
    assert_eq!(starts(61), "not_yet_valid");
}

#[test]
fn the_shorter_of_two_ends_bounds_the_replay_record() {
    let xml = assertion_with("NotOnOrAfter=\"2026-03-03T08:05:00Z\" Recipient", "NotOnOrAfter=\"2026-03-03T08:02:00Z\" Recipient");
    assert_eq!(verify(&xml).unwrap().usable_until, now().plus_secs(180));
    let xml =
        assertion_with("<saml:Conditions NotBefore=\"2026-03-03T08:00:00Z\" NotOnOrAfter=\"2026-03-03T08:05:00Z\">", "<saml:Conditions>");
    assert_eq!(verify(&xml).unwrap().usable_until, now().plus_secs(360));
}

/// Step 9.
#[test]
fn every_in_response_to_says_the_same_and_one_is_signed() {
    let mut answered = message();
    answered.in_response_to = Some("_request".to_owned());
    for sign in [Sign::Assertion, Sign::Response, Sign::Both] {
        let assertion = verify(&RSA.issue(&answered, sign).unwrap()).unwrap();
        assert_eq!(assertion.in_response_to.as_deref(), Some("_request"));
    }
    let outer = |xml: String, id: &str| xml.replacen(" IssueInstant=", &format!(" InResponseTo=\"{id}\" IssueInstant="), 1);
    let unsolicited = RSA.issue(&message(), Sign::Assertion).unwrap();
    assert_eq!(code(&outer(unsolicited, "_request")), "in_response_to_unsigned");
    let stripped = RSA.issue(&answered, Sign::Assertion).unwrap().replacen(" InResponseTo=\"_request\"", "", 1);
    assert_eq!(verify(&stripped).unwrap().in_response_to.as_deref(), Some("_request"), "what is signed counts");
    assert_eq!(code(&outer(stripped, "_other")), "in_response_to");
    let second = "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData InResponseTo=\"_other\"/></saml:SubjectConfirmation></saml:Subject>";
    let assertion = answered.assertion().replace("</saml:Subject>", second);
    assert_eq!(code(&answered.response(&RSA.sign(&assertion, &answered.assertion_id).unwrap())), "in_response_to");
    // On a signed Response alone it is signed too.
    let on_response = outer(message().response(&message().assertion()), "_request");
    let assertion = verify(&RSA.sign(&on_response, &message().response_id).unwrap()).unwrap();
    assert_eq!(assertion.in_response_to.as_deref(), Some("_request"));
}

#[test]
fn name_id_may_be_missing_where_the_subject_comes_from_an_attribute() {
    let mut message = message();
    message.name_id = None;
    let (xml, certificates) = (RSA.issue(&message, Sign::Both).unwrap(), pinned(&[&RSA]));
    let party = Party {
        sp_entity_id: SP,
        acs_url: ACS,
        idp_entity_id: IDP,
        certificates: &certificates,
        skew_secs: 60,
        subject_from_attribute: true,
    };
    assert_eq!(super::verify(&STANDARD.encode(xml), &party, now()).unwrap().name_id, None);
}

#[test]
fn no_refusal_quotes_what_a_message_says_of_a_person() {
    for xml in [
        signed_then(Sign::Both, "ada@example.com", "SECRET\u{7}"),
        assertion_with("ada@example.com", "SECRET<x/>"),
        signed_then(Sign::Both, "ada@example.com", "SECRET&broken"),
        signed_then(Sign::Both, "ada@example.com", "<![CDATA[SECRET"),
        signed_then(Sign::Both, "ada@example.com", "SECRET"),
        signed_then(Sign::Both, "ada@example.com</saml:NameID>", "SECRET</saml:SECRET>"),
    ] {
        let refusal = verify(&xml).unwrap_err();
        assert!(!refusal.to_string().contains("SECRET"), "{refusal}");
    }
}

#[test]
fn many_threads_verify_at_once() {
    let (good, bad) = (RSA.issue(&message(), Sign::Both).unwrap(), signed_then(Sign::Both, "ada@", "eve@"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    verify(&good).unwrap();
                    assert_eq!(code(&bad), "signature");
                }
            });
        }
    });
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever one byte becomes, nothing else than what was signed is accepted.
    #[test]
    fn no_single_altered_byte_changes_what_is_accepted(at in 0.0..1.0f64, byte in 0x20u8..0x7f) {
        static GOOD: LazyLock<(String, Assertion)> = LazyLock::new(|| {
            let xml = RSA.issue(&message(), Sign::Assertion).unwrap();
            let assertion = verify(&xml).unwrap();
            (xml, assertion)
        });
        let (xml, expected) = &*GOOD;
        let mut bytes = xml.clone().into_bytes();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
        let index = (at * bytes.len() as f64) as usize;
        bytes[index] = byte;
        if let Ok(accepted) = verify(&String::from_utf8(bytes).unwrap()) {
            proptest::prop_assert_eq!(&accepted, expected);
        }
    }

    #[test]
    fn no_text_makes_the_scan_panic(text in "[<>&;\"'=a-z:!\\[\\]/? -]{0,80}") {
        let _ = verify(&text);
        let _ = IdpMetadata::parse(text.as_bytes());
    }
}
