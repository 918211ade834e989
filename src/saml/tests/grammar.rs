//! What scan and grammar refuse: steps 2 to 4, each case beside an accepted control.

use rstest::rstest;

use super::*;

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
#[case("malformed", " Version=", " xmlns:a=\"urn:a\" xmlns:a=\"urn:b\" Version=")]
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
fn no_id_stands_twice() {
    let xml = RSA.issue(&message(), Sign::Assertion).unwrap();
    let twice = |from: &str, to: &str| code(&xml.replacen(from, to, 1));
    let (response, assertion) = (message().response_id, message().assertion_id);
    assert_eq!(twice("<ds:KeyInfo>", "<ds:KeyInfo Id=\"_key\">"), "accepted");
    assert_eq!(twice("<ds:KeyInfo>", &format!("<ds:KeyInfo Id=\"{assertion}\">")), "duplicate_id");
    assert_eq!(twice(&response, &assertion), "duplicate_id");
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
    assert_eq!(code(&assertion_with("staff", &many)), "too_many_namespaces");
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
#[case("missing_element", "<samlp:Status>", "<saml:EncryptedAssertion/><samlp:Status>")]
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
