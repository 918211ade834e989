//! Whether the word holds: status, version, issuer, destination, recipient, audience, and every bound of time on both sides of its edge.
//! The connection forgives sixty seconds.

use rolegate::{
    domain::time::Timestamp,
    saml::issuer::{Message, Sign},
};

use super::{Case, Scene, craft};
use crate::common::installation::PUBLIC_URL;

const fn conditions(says: &'static str) -> (&'static str, &'static str) {
    ("conditions", says)
}

fn nothing(_: &Scene, _: &mut Message) {}

fn ms(scene: &Scene, offset_ms: i64) -> Timestamp {
    Timestamp::from_millis(scene.now.millis() + offset_ms)
}

pub fn cases() -> Vec<Case> {
    [status(), parties(), times(), forms_of_time(), confirmations()].into_iter().flatten().collect()
}

fn status() -> Vec<Case> {
    let reports = |name: &str, hostile: fn(&Scene, &mut Message)| Case::message(name, conditions("sign-in failed"), nothing, hostile);
    vec![
        reports("the requester is blamed", |_, m| m.status = "urn:oasis:names:tc:SAML:2.0:status:Requester".to_owned()),
        reports("authentication failed", |_, m| m.status = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed".to_owned()),
        reports("an empty status", |_, m| m.status = String::new()),
        reports("success in capitals", |_, m| m.status = "URN:OASIS:NAMES:TC:SAML:2.0:STATUS:SUCCESS".to_owned()),
        reports("success with white space", |_, m| m.status.push(' ')),
        reports("success of SAML 1.1", |_, m| m.status = "samlp:Success".to_owned()),
        Case::altered(
            "success only below a failure",
            conditions("sign-in failed"),
            "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/>",
            "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"><samlp:StatusCode Value=\"urn:x\"/></samlp:StatusCode>",
            "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Responder\"><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:StatusCode>",
        ),
    ]
}

fn parties() -> Vec<Case> {
    let message =
        |name: &str, says: &'static str, hostile: fn(&Scene, &mut Message)| Case::message(name, conditions(says), nothing, hostile);
    vec![
        message("another issuer", "Issuer", |_, m| m.issuer = "https://evil.example".to_owned()),
        message("the issuer with a slash behind it", "Issuer", |_, m| m.issuer.push('/')),
        message("the issuer in capitals", "Issuer", |_, m| m.issuer = m.issuer.to_uppercase()),
        message("the issuer with white space before it", "Issuer", |_, m| m.issuer.insert(0, ' ')),
        message("an empty issuer", "Issuer", |_, m| m.issuer.clear()),
        message("another destination", "Destination", |_, m| m.destination = Some("https://evil.example/acs".to_owned())),
        message("the destination over plain HTTP", "Destination", |_, m| {
            m.destination = m.destination.as_ref().map(|d| d.replace("https:", "http:"))
        }),
        message("the destination with a query", "Destination", |_, m| m.destination.as_mut().unwrap().push_str("?x=y")),
        message("an empty destination", "Destination", |_, m| m.destination = Some(String::new())),
        message("a signed Response without a destination", "Destination", |_, m| m.destination = None),
        message("another recipient", "Recipient", |_, m| m.recipient = Some("https://evil.example/acs".to_owned())),
        message("the recipient is the entity ID", "Recipient", |_, m| m.recipient.clone_from(&m.audiences.first().cloned())),
        message("the recipient in capitals", "Recipient", |_, m| m.recipient = m.recipient.as_ref().map(|r| r.to_uppercase())),
        message("no recipient", "Recipient", |_, m| m.recipient = None),
        message("another audience", "Audience", |_, m| m.audiences = vec!["https://evil.example".to_owned()]),
        message("no audience", "AudienceRestriction", |_, m| m.audiences.clear()),
        message("an empty audience", "Audience", |_, m| m.audiences = vec![String::new()]),
        message("the audience with white space behind it", "Audience", |_, m| m.audiences[0].push(' ')),
        message("the audience is the gateway, not the connection", "Audience", |_, m| m.audiences = vec![PUBLIC_URL.to_owned()]),
        message("a second restriction that leaves us out", "Audience", |_, m| m.audiences.push("https://other.example".to_owned())),
        message("a first restriction that leaves us out", "Audience", |_, m| m.audiences.insert(0, "https://other.example".to_owned())),
        Case::signed(
            "an audience restriction without an audience",
            ("structure", "Audience is missing"),
            "<saml:AudienceRestriction>",
            "<saml:AudienceRestriction><saml:Audience>https://other.example</saml:Audience>",
            "<saml:AudienceRestriction/><saml:AudienceRestriction>",
        ),
        Case::signed(
            "the audience only in a ProxyRestriction",
            conditions("Audience"),
            "<saml:AudienceRestriction><saml:Audience>https://rolegate.example/connections/acme-okta/saml/metadata</saml:Audience></saml:AudienceRestriction>",
            "<saml:AudienceRestriction><saml:Audience>https://rolegate.example/connections/acme-okta/saml/metadata</saml:Audience></saml:AudienceRestriction><saml:ProxyRestriction/>",
            "<saml:ProxyRestriction><saml:Audience>https://rolegate.example/connections/acme-okta/saml/metadata</saml:Audience></saml:ProxyRestriction>",
        ),
        Case::altered(
            "the Response is of SAML 1.1",
            conditions("Version of the Response"),
            " Version=\"2.0\"",
            " Version=\"2.0\"",
            " Version=\"1.1\"",
        ),
        Case::altered(
            "the Response is of SAML 2",
            conditions("Version of the Response"),
            " Version=\"2.0\"",
            " Version=\"2.0\"",
            " Version=\"2\"",
        ),
        Case::signed(
            "the assertion is of SAML 2.1",
            conditions("Version of the Assertion"),
            " Version=\"2.0\"",
            " Version=\"2.0\"",
            " Version=\"2.1\"",
        ),
        Case::signed(
            "the assertion is another issuer's",
            conditions("Issuer of the Assertion"),
            "<saml:Issuer>",
            "<saml:Issuer>",
            "<saml:Issuer>x",
        ),
        message("nobody signed in", "AuthnStatement", |_, m| m.authn_instant = None),
        message("no name", "NameID", |_, m| m.name_id = None),
    ]
}

/// The last moment that is accepted, and the next one.
fn times() -> Vec<Case> {
    let edge = |name: &str, says: &'static str, control: fn(&Scene, &mut Message), hostile: fn(&Scene, &mut Message)| {
        Case::message(name, conditions(says), control, hostile)
    };
    vec![
        edge("issued in the future", "IssueInstant", |s, m| m.issue_instant = ms(s, 60_000), |s, m| m.issue_instant = ms(s, 60_001)),
        edge(
            "not yet valid",
            "NotBefore of Conditions",
            |s, m| m.not_before = Some(ms(s, 60_000)),
            |s, m| m.not_before = Some(ms(s, 60_001)),
        ),
        edge(
            "valid until now",
            "NotOnOrAfter of Conditions",
            |s, m| m.not_on_or_after = Some(ms(s, -59_999)),
            |s, m| m.not_on_or_after = Some(ms(s, -60_000)),
        ),
        edge("valid until yesterday", "NotOnOrAfter", nothing, |s, m| m.not_on_or_after = Some(ms(s, -86_400_000))),
        edge("valid until 1970", "NotOnOrAfter", nothing, |_, m| m.not_on_or_after = Some(Timestamp::from_millis(0))),
        edge("no end", "NotOnOrAfter is missing", nothing, |_, m| m.not_on_or_after = None),
        edge(
            "the session ended",
            "SessionNotOnOrAfter",
            |s, m| m.session_not_on_or_after = Some(ms(s, 1)),
            |s, m| m.session_not_on_or_after = Some(ms(s, 0)),
        ),
        Case::xml(
            "the confirmation ended, the conditions did not",
            conditions("NotOnOrAfter of SubjectConfirmationData"),
            |scene, kind| {
                let end = scene.message.not_on_or_after.unwrap();
                let from = format!("NotOnOrAfter=\"{end}\" Recipient");
                let assertion = craft::replaced(
                    &scene.message.assertion(),
                    &from,
                    &format!("NotOnOrAfter=\"{}\" Recipient", kind.pick(ms(scene, -59_999), ms(scene, -60_000))),
                );
                scene.message.response(&craft::sign(&assertion, &scene.message.assertion_id))
            },
        ),
        Case::xml("the conditions ended, the confirmation did not", conditions("NotOnOrAfter of Conditions"), |scene, kind| {
            let end = scene.message.not_on_or_after.unwrap();
            let assertion = craft::replaced(
                &scene.message.assertion(),
                &format!("NotOnOrAfter=\"{end}\">"),
                &format!("NotOnOrAfter=\"{}\">", kind.pick(ms(scene, -59_999), ms(scene, -60_000))),
            );
            scene.message.response(&craft::sign(&assertion, &scene.message.assertion_id))
        }),
        Case::xml("the confirmation begins later", conditions("NotBefore of SubjectConfirmationData"), |scene, kind| {
            let at = kind.pick(ms(scene, 60_000), ms(scene, 60_001));
            let assertion = craft::replaced(
                &scene.message.assertion(),
                "<saml:SubjectConfirmationData",
                &format!("<saml:SubjectConfirmationData NotBefore=\"{at}\""),
            );
            scene.message.response(&craft::sign(&assertion, &scene.message.assertion_id))
        }),
        Case::xml("the Response alone is issued in the future", conditions("IssueInstant of the Response"), |scene, kind| {
            let signed = craft::issue(&scene.message, Sign::Assertion);
            craft::replaced(
                &signed,
                &format!("IssueInstant=\"{}\"", scene.now),
                &format!("IssueInstant=\"{}\"", kind.pick(ms(scene, 60_000), ms(scene, 60_001))),
            )
        }),
        Case::xml("the assertion alone is issued in the future", conditions("IssueInstant of the Assertion"), |scene, kind| {
            let at = kind.pick(ms(scene, 60_000), ms(scene, 60_001));
            let assertion =
                craft::replaced(&scene.message.assertion(), &format!("IssueInstant=\"{}\"", scene.now), &format!("IssueInstant=\"{at}\""));
            scene.message.response(&craft::sign(&assertion, &scene.message.assertion_id))
        }),
        Case::xml("a second AuthnStatement whose session ended", conditions("SessionNotOnOrAfter"), |scene, kind| {
            let end = kind.pick(ms(scene, 3_600_000), ms(scene, -60_000));
            let assertion = scene.message.assertion();
            let statement = craft::element(&assertion, "saml:AuthnStatement ").to_owned();
            let second = statement.replace(" SessionIndex=", &format!(" SessionNotOnOrAfter=\"{end}\" SessionIndex="));
            scene
                .message
                .response(&craft::sign(&assertion.replace(&statement, &format!("{statement}{second}")), &scene.message.assertion_id))
        }),
    ]
}

fn forms_of_time() -> Vec<Case> {
    let written = |name: &str, control: fn(Timestamp) -> String, hostile: fn(Timestamp) -> String| {
        Case::xml(name, ("assertion", "a date and time with a zone"), move |scene, kind| {
            let instant = scene.message.authn_instant.unwrap();
            let text = kind.pick(control, hostile)(instant);
            let assertion =
                craft::replaced(&scene.message.assertion(), &format!("AuthnInstant=\"{instant}\""), &format!("AuthnInstant=\"{text}\""));
            scene.message.response(&craft::sign(&assertion, &scene.message.assertion_id))
        })
    };
    let plain = |at: Timestamp| at.to_string();
    vec![
        written("no zone", plain, |at| at.to_string().replace('Z', "")),
        written("only a date", plain, |at| at.to_string()[..10].to_owned()),
        written("seconds since 1970", |at| at.to_string().replace('Z', ".000Z"), |at| (at.millis() / 1000).to_string()),
        written("an empty time", |at| at.to_string().replace('Z', "+00:00"), |_| String::new()),
        written("a year of five digits", plain, |at| format!("+1{at}")),
        written("the thirteenth month", plain, |at| format!("2026-13-{}", &at.to_string()[8..])),
        written("words", plain, |_| "now".to_owned()),
    ]
}

fn confirmations() -> Vec<Case> {
    const BEARER: &str = "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">";
    vec![
        Case::signed("only a holder of a key", conditions("no bearer"), "cm:bearer", "cm:bearer", "cm:holder-of-key"),
        Case::signed("only a voucher of the sender", conditions("no bearer"), "cm:bearer", "cm:bearer", "cm:sender-vouches"),
        Case::signed("bearer in capitals", conditions("no bearer"), "cm:bearer", "cm:bearer", "cm:Bearer"),
        Case::signed("bearer of SAML 1.1", conditions("no bearer"), "SAML:2.0:cm:bearer", "SAML:2.0:cm:bearer", "SAML:1.0:cm:bearer"),
        Case::signed(
            "a bearer without data",
            conditions("Recipient is missing"),
            BEARER,
            BEARER,
            "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"/><saml:SubjectConfirmation Method=\"urn:x\">",
        ),
        Case::signed(
            "the right data under another method",
            conditions("Recipient"),
            BEARER,
            "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData Recipient=\"https://other.example\"/></saml:SubjectConfirmation><saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">",
            "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData Recipient=\"https://other.example\"/></saml:SubjectConfirmation><saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:sender-vouches\">",
        ),
        Case::xml("no Conditions", conditions("Conditions are missing"), |scene, kind| {
            let assertion = scene.message.assertion();
            let conditions = craft::element(&assertion, "saml:Conditions").to_owned();
            scene
                .message
                .response(&craft::sign(&kind.pick(assertion.clone(), assertion.replace(&conditions, "")), &scene.message.assertion_id))
        }),
        Case::xml("no Subject", conditions(""), |scene, kind| {
            let assertion = scene.message.assertion();
            let subject = craft::element(&assertion, "saml:Subject").to_owned();
            scene
                .message
                .response(&craft::sign(&kind.pick(assertion.clone(), assertion.replace(&subject, "")), &scene.message.assertion_id))
        }),
    ]
}
