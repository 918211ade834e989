//! Who it is: names that would have to be repaired, that look like another one, or that are none.

use rolegate::saml::issuer::Message;

use super::{Case, Scene};

fn nothing(_: &Scene, _: &mut Message) {}

const fn identity(says: &'static str) -> (&'static str, &'static str) {
    ("identity", says)
}

/// The NameID, as it was and as it is altered.
fn name(case: &str, says: &'static str, hostile: fn(&mut String)) -> Case {
    Case::xml(case, identity(says), move |scene, kind| {
        let mut message = scene.message.clone();
        if kind == super::Kind::Hostile {
            hostile(&mut message.name_id.as_mut().unwrap().value);
        }
        super::craft::issue(&message, rolegate::saml::issuer::Sign::Both)
    })
}

fn email(case: &str, says: &'static str, hostile: fn(&mut Vec<String>)) -> Case {
    Case::xml(case, identity(says), move |scene, kind| {
        let mut message = scene.message.clone();
        if kind == super::Kind::Hostile {
            hostile(&mut message.attributes.iter_mut().find(|(name, _)| name == "email").unwrap().1);
        }
        super::craft::issue(&message, rolegate::saml::issuer::Sign::Both)
    })
}

pub fn cases() -> Vec<Case> {
    const INVISIBLE: &str = "invisible";
    vec![
        name("white space behind the NameID", "white space", |n| n.push(' ')),
        name("white space before the NameID", "white space", |n| n.insert(0, ' ')),
        name("a tab behind the NameID", "white space", |n| n.push('\t')),
        name("a no-break space behind the NameID", "white space", |n| n.push('\u{a0}')),
        name("an ideographic space behind the NameID", "white space", |n| n.push('\u{3000}')),
        name("an empty NameID", "is empty", String::clear),
        name("a NameID of white space", "white space", |n| *n = "  ".to_owned()),
        name("a line end inside the NameID", "control character", |n| n.insert(3, '\n')),
        name("a control character of the second block", "control character", |n| n.insert(3, '\u{85}')),
        name("a NameID of more than 1024 bytes", "longer than 1024", |n| n.insert_str(0, &"a".repeat(1024))),
        name("a space without width in the NameID", INVISIBLE, |n| n.insert(3, '\u{200b}')),
        name("a joiner without width in the NameID", INVISIBLE, |n| n.insert(3, '\u{200d}')),
        name("a byte order mark in the NameID", INVISIBLE, |n| n.insert(3, '\u{feff}')),
        name("a soft hyphen in the NameID", INVISIBLE, |n| n.insert(3, '\u{ad}')),
        name("text that turns its direction in the NameID", INVISIBLE, |n| n.insert(3, '\u{202e}')),
        name("an isolate of direction in the NameID", INVISIBLE, |n| n.insert(3, '\u{2066}')),
        name("a tag character in the NameID", INVISIBLE, |n| n.insert(3, '\u{e0061}')),
        name("a variation selector in the NameID", INVISIBLE, |n| n.insert(3, '\u{fe0f}')),
        name("a filler of Hangul in the NameID", INVISIBLE, |n| n.insert(3, '\u{3164}')),
        Case::message("a transient NameID", identity("transient"), nothing, |_, m| {
            m.name_id.as_mut().unwrap().format = Some("urn:oasis:names:tc:SAML:2.0:nameid-format:transient".to_owned());
        }),
        email("two addresses", "different values", |v| v.push("eve@acme.example".to_owned())),
        email("an address with white space", "white space", |v| v[0].push(' ')),
        email("an address without a domain", "is not an e-mail address", |v| v[0] = "ada".to_owned()),
        email("an address with two at signs", "is not an e-mail address", |v| v[0] = "ada@evil.example@acme.example".to_owned()),
        email("an address with white space inside", "is not an e-mail address", |v| v[0] = "ada @acme.example".to_owned()),
        email("an address with a space without width", INVISIBLE, |v| v[0].insert(3, '\u{200b}')),
        email("an address that turns its direction", INVISIBLE, |v| v[0].insert(3, '\u{202e}')),
        Case::message(
            "two Attributes of one name that differ",
            identity("different values"),
            |_, m| m.attributes.push(("email".to_owned(), vec!["ada@acme.example".to_owned()])),
            |_, m| m.attributes.push(("email".to_owned(), vec!["eve@acme.example".to_owned()])),
        ),
        Case::message(
            "two given names",
            identity("different values"),
            |_, m| m.attributes.push(("firstName".to_owned(), vec!["Ada".to_owned()])),
            |_, m| m.attributes.push(("firstName".to_owned(), vec!["Eve".to_owned()])),
        ),
    ]
}
