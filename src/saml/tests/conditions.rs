//! Whether a verified assertion holds: steps 7 to 9.

use rstest::rstest;

use super::*;

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
#[case("session_expired", |m: &mut Message| m.session_not_on_or_after = Some(now()))]
fn what_is_not_meant_for_us_is_refused(#[case] expected: &str, #[case] edit: Edit, #[values(Sign::Response, Sign::Both)] sign: Sign) {
    assert_eq!(code(&RSA.issue(&message(), sign).unwrap()), "accepted");
    let mut message = message();
    edit(&mut message);
    assert_eq!(code(&RSA.issue(&message, sign).unwrap()), expected);
}

#[rstest]
#[case("version", "<saml:Assertion", "Version=\"2.0\"", "Version=\"1.1\"")]
#[case("issuer", "<saml:Issuer", "idp.example", "evil.example")]
#[case("issued_in_future", "IssueInstant", "2026-03-03T08:00:00Z", "2026-03-03T08:01:01Z")]
#[case("expired", "<saml:Conditions", "NotOnOrAfter=\"2026-03-03T08:05:00Z\"", "NotOnOrAfter=\"2026-03-03T07:59:00Z\"")]
#[case("expired", "<saml:SubjectConfirmationData", "NotOnOrAfter=\"2026-03-03T08:05:00Z\"", "NotOnOrAfter=\"2026-03-03T07:59:00Z\"")]
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
fn the_shorter_of_two_ends_counts_and_the_replay_record_outlives_every_tolerance() {
    let xml = assertion_with("NotOnOrAfter=\"2026-03-03T08:05:00Z\" Recipient", "NotOnOrAfter=\"2026-03-03T08:02:00Z\" Recipient");
    let read = verify(&xml).unwrap();
    assert_eq!((read.usable_until, read.remembered_until), (now().plus_secs(180), now().plus_secs(420)));
    let xml = assertion_with("NotOnOrAfter=\"2026-03-03T08:05:00Z\">", "NotOnOrAfter=\"2026-03-03T08:01:00Z\">");
    assert_eq!(verify(&xml).unwrap().usable_until, now().plus_secs(120));
    let xml =
        assertion_with("<saml:Conditions NotBefore=\"2026-03-03T08:00:00Z\" NotOnOrAfter=\"2026-03-03T08:05:00Z\">", "<saml:Conditions>");
    assert_eq!(verify(&xml).unwrap().usable_until, now().plus_secs(360));
}

#[test]
fn only_a_bearer_confirmation_confirms() {
    let good = "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">";
    let beside = |method: &str| {
        let data = format!("NotOnOrAfter=\"2026-03-03T08:05:00Z\" Recipient=\"{ACS}\"");
        let wrong =
            format!("{good}<saml:SubjectConfirmationData {}/></saml:SubjectConfirmation>", data.replace(ACS, "https://other.example"));
        assertion_with(good, &format!("{wrong}<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:{method}\">"))
    };
    assert_eq!(code(&beside("bearer")), "accepted", "one of two is enough");
    assert_eq!(code(&beside("sender-vouches")), "recipient");
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
    let signed = RSA.sign(&assertion, &answered.assertion_id).unwrap();
    assert_eq!(code(&answered.response(&signed)), "in_response_to");
    assert_eq!(code(&message().response(&signed)), "in_response_to", "also without one on the Response");
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
    let party = Party { subject_from_attribute: true, ..party(&certificates) };
    assert_eq!(crate::saml::verify(&STANDARD.encode(xml), &party, now()).unwrap().name_id, None);
}
