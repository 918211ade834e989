//! What must be accepted.

use rstest::rstest;

use super::*;

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
    let party = party(&certificates);
    let encoded = STANDARD.encode(RSA.issue(&message(), Sign::Both).unwrap());
    let wrapped = encoded.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\r\n");
    crate::saml::verify(&wrapped, &party, now()).unwrap();
    let refused = |text: &str| crate::saml::verify(text, &party, now()).unwrap_err().code();
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

#[test]
fn default_namespaces_of_entra_and_carriage_returns_of_dot_net_are_accepted() {
    let message = message();
    let template = RSA.template(&message.assertion_id).replace("xmlns:ds", "xmlns").replace("ds:", "");
    let template = template.replace("</X509Certificate>", "&#13;\n</X509Certificate>");
    let assertion = message.assertion().replace("<saml:", "<").replace("</saml:", "</").replace("xmlns:saml", "xmlns");
    let assertion = RSA.sign_templated(&assertion.replacen("</Issuer>", &format!("</Issuer>{template}"), 1)).unwrap();
    assert_eq!(verify(&message.response(&assertion)).unwrap().name_id.unwrap().value, "ada@example.com");
}

/// Signs with a template of the test's own.
fn sign_template(xml: &str, template: &str) -> String {
    let with_template = xml.replacen("</saml:Issuer>", &format!("</saml:Issuer>{template}"), 1);
    RSA.sign_templated(&with_template).unwrap()
}
