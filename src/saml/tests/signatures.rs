//! What is wrong about signatures: their form, their keys, their place.

use rstest::rstest;

use super::*;

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
