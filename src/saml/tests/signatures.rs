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
