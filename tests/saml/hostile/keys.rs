//! Whose key it was: only those pinned on the connection that is asked count, whatever a message carries along.

use rolegate::saml::issuer::{IssuerKey, Message, Sign};

use super::{
    CURVED, Case, FOREIGN, Kind, NEIGHBOUR, Scene, Sent,
    craft::{self, EC_KEY, NEIGHBOURS_KEY, RETIRED_KEY},
};
use crate::common::{
    idp::{FOREIGN_KEY, KEY, message},
    installation::PUBLIC_URL,
};

const PINNED: (&str, &str) = ("signature", "none of the pinned certificates");

/// Signed by the one key or the other.
fn by(name: &str, hostile: fn() -> &'static IssuerKey) -> Case {
    Case::xml(name, PINNED, move |scene, kind| {
        let key = kind.pick(&*KEY, hostile());
        key.issue(&scene.message, Sign::Both).unwrap()
    })
}

/// The same person at another connection.
fn at(scene: &Scene, slug: &str) -> Message {
    let mut there = message(slug, "ada@acme.example", scene.now);
    there.attributes.clone_from(&scene.message.attributes);
    there
}

/// A message to the control's connection, signed with its key; the hostile one with the other key, or with other words.
fn crossed(
    name: &str,
    refused: (&'static str, &'static str),
    slug: &'static str,
    hostile: fn(&Scene, Message) -> String,
    key: fn() -> &'static IssuerKey,
) -> Case {
    Case::new(name, refused, move |scene, kind| {
        let there = at(scene, slug);
        Sent::xml(&match kind {
            Kind::Control => key().issue(&there, Sign::Both).unwrap(),
            Kind::Hostile => hostile(scene, there),
        })
        .to(slug)
    })
}

pub fn cases() -> Vec<Case> {
    [own(), of_others(), told_along()].into_iter().flatten().collect()
}

fn own() -> Vec<Case> {
    vec![
        by("a key of nobody's", || &FOREIGN_KEY),
        by("a key on a curve where one of RSA is pinned", || &EC_KEY),
        by("a key that is retired", || &RETIRED_KEY),
        by("the key of another tenant's connection", || &NEIGHBOURS_KEY),
        Case::xml("two signatures of two keys", PINNED, |scene, kind| {
            let message = &scene.message;
            let inner = kind.pick(&*KEY, &*FOREIGN_KEY).sign(&message.assertion(), &message.assertion_id).unwrap();
            KEY.sign(&message.response(&inner), &message.response_id).unwrap()
        }),
        Case::xml("the assertion of the key that is trusted in a Response of another", PINNED, |scene, kind| {
            let message = &scene.message;
            let inner = KEY.sign(&message.assertion(), &message.assertion_id).unwrap();
            kind.pick(&*KEY, &*FOREIGN_KEY).sign(&message.response(&inner), &message.response_id).unwrap()
        }),
    ]
}

fn of_others() -> Vec<Case> {
    vec![
        crossed("a key of RSA where one on a curve is pinned", PINNED, CURVED, |_, there| craft::issue(&there, Sign::Both), || &EC_KEY),
        crossed("the key of another connection", PINNED, FOREIGN, |_, there| craft::issue(&there, Sign::Both), || &FOREIGN_KEY),
        crossed(
            "the key of a connection of another tenant",
            PINNED,
            NEIGHBOUR,
            |_, there| craft::issue(&there, Sign::Both),
            || &NEIGHBOURS_KEY,
        ),
        crossed(
            "a response to us, posted to another tenant's connection",
            PINNED,
            NEIGHBOUR,
            |scene, _| craft::issue(&scene.message, Sign::Both),
            || &NEIGHBOURS_KEY,
        ),
        crossed(
            "a response to us, signed with the other tenant's key, posted there",
            ("conditions", "Destination"),
            NEIGHBOUR,
            |scene, _| NEIGHBOURS_KEY.issue(&scene.message, Sign::Both).unwrap(),
            || &NEIGHBOURS_KEY,
        ),
        crossed(
            "the same without a Destination, the Response unsigned",
            ("conditions", "Audience"),
            NEIGHBOUR,
            |scene, _| {
                let mut message = scene.message.clone();
                message.destination = None;
                NEIGHBOURS_KEY.issue(&message, Sign::Assertion).unwrap()
            },
            || &NEIGHBOURS_KEY,
        ),
        crossed(
            "the same with the right audience beside the wrong recipient",
            ("conditions", "Recipient"),
            NEIGHBOUR,
            |scene, there| {
                let mut message = scene.message.clone();
                (message.destination, message.audiences) = (there.destination, there.audiences);
                NEIGHBOURS_KEY.issue(&message, Sign::Both).unwrap()
            },
            || &NEIGHBOURS_KEY,
        ),
        crossed(
            "the assertion to another connection of the tenant",
            ("conditions", ""),
            super::CURVED,
            |scene, _| EC_KEY.issue(&scene.message, Sign::Assertion).unwrap(),
            || &EC_KEY,
        ),
        crossed(
            "the audience is the address, not the entity ID",
            ("conditions", "Audience"),
            CURVED,
            |_, mut there| {
                there.audiences = vec![format!("{PUBLIC_URL}/connections/{CURVED}/saml/acs")];
                EC_KEY.issue(&there, Sign::Both).unwrap()
            },
            || &EC_KEY,
        ),
    ]
}

/// KeyInfo is never asked.
fn told_along() -> Vec<Case> {
    let foreign = |name: &str, make: fn(String) -> String| {
        Case::xml(name, PINNED, move |scene, kind| match kind {
            Kind::Control => make(craft::issue(&scene.message, Sign::Assertion)),
            Kind::Hostile => make(FOREIGN_KEY.issue(&scene.message, Sign::Assertion).unwrap()),
        })
    };
    vec![
        foreign("the forger's certificate in KeyInfo", |xml| xml),
        foreign("the trusted certificate in KeyInfo of the forger's signature", |xml| {
            xml.replace(&FOREIGN_KEY.certificate().to_base64(), &KEY.certificate().to_base64())
        }),
        foreign("both certificates in KeyInfo", |xml| {
            let both = format!(
                "{}</ds:X509Certificate><ds:X509Certificate>{}</ds:X509Certificate>",
                KEY.certificate().to_base64(),
                FOREIGN_KEY.certificate().to_base64()
            );
            let info = craft::element(&xml, "ds:X509Data").to_owned();
            xml.replace(&info, &format!("<ds:X509Data><ds:X509Certificate>{both}</ds:X509Data>"))
        }),
        foreign("no KeyInfo", |xml| {
            let info = craft::element(&xml, "ds:KeyInfo").to_owned();
            xml.replace(&info, "")
        }),
        foreign("a name of the trusted key", |xml| {
            let info = craft::element(&xml, "ds:KeyInfo").to_owned();
            xml.replace(&info, "<ds:KeyInfo><ds:KeyName>idp.example</ds:KeyName></ds:KeyInfo>")
        }),
        foreign("a KeyValue of the forger's", |xml| {
            let info = craft::element(&xml, "ds:KeyInfo").to_owned();
            xml.replace(&info, "<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQ==</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>")
        }),
        foreign("the serial number and issuer of the trusted certificate", |xml| {
            let info = craft::element(&xml, "ds:KeyInfo").to_owned();
            xml.replace(&info, "<ds:KeyInfo><ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName>CN=idp.example</ds:X509IssuerName><ds:X509SerialNumber>1</ds:X509SerialNumber></ds:X509IssuerSerial><ds:X509SubjectName>CN=idp.example</ds:X509SubjectName></ds:X509Data></ds:KeyInfo>")
        }),
    ]
}
