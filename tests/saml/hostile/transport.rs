//! What arrives otherwise than by a form that a browser posts.

use axum::http::{Method, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::saml::issuer::Sign;

use super::{Case, FORM, Scene, Sent, acs, craft};
use crate::saml::house::SLUG;

const fn transport(says: &'static str) -> (&'static str, &'static str) {
    ("transport", says)
}

fn value(scene: &Scene) -> String {
    STANDARD.encode(craft::issue(&scene.message, Sign::Both))
}

fn pair(name: &str, value: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}

/// A request of its own kind beside the plain form.
fn sent(name: &str, refused: (&'static str, &'static str), control: fn(Sent) -> Sent, hostile: fn(Sent) -> Sent) -> Case {
    Case::new(name, refused, move |scene, kind| kind.pick(control, hostile)(Sent::value(&value(scene))))
}

fn same(sent: Sent) -> Sent {
    sent
}

fn header(name: &str, says: &'static str, control: Option<(&'static str, &'static str)>, hostile: (&'static str, &'static str)) -> Case {
    Case::new(name, transport(says), move |scene, kind| {
        let mut sent = Sent::value(&value(scene));
        if let Some((name, value)) = kind.pick(control, Some(hostile)) {
            sent.headers.retain(|(known, _)| *known != name);
            sent.headers.push((name, value));
        }
        sent
    })
}

pub fn cases() -> Vec<Case> {
    const TYPE: &str = "content-type";
    const UTF8: Option<(&str, &str)> = Some((TYPE, "application/x-www-form-urlencoded; charset=UTF-8"));
    vec![
        header("JSON", "Content-Type", None, (TYPE, "application/json")),
        header("plain text", "Content-Type", None, (TYPE, "text/plain")),
        header("a form in parts", "Content-Type", None, (TYPE, "multipart/form-data; boundary=x")),
        header("XML", "Content-Type", None, (TYPE, "application/xml")),
        header("SOAP", "Content-Type", None, (TYPE, "text/xml; charset=utf-8")),
        header("a type that begins alike", "Content-Type", None, (TYPE, "application/x-www-form-urlencoded+xml")),
        header("UTF-16 in the type", "charset", UTF8, (TYPE, "application/x-www-form-urlencoded; charset=UTF-16")),
        header("UTF-7 in the type", "charset", UTF8, (TYPE, "application/x-www-form-urlencoded; charset=\"utf-7\"")),
        header("EBCDIC in the type", "charset", UTF8, (TYPE, "application/x-www-form-urlencoded; Charset=IBM037")),
        header("gzip said of a plain body", "Content-Encoding", Some(("content-encoding", "identity")), ("content-encoding", "gzip")),
        header("deflate said of a plain body", "Content-Encoding", None, ("content-encoding", "deflate")),
        sent("two types", transport("Content-Type"), same, |mut sent| {
            sent.headers.push((FORM.0, "application/json"));
            sent
        }),
        sent("no type", transport("Content-Type"), same, |mut sent| {
            sent.headers.clear();
            sent
        }),
        sent("a body of gzip", transport("Content-Encoding"), same, |mut sent| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut encoder, &sent.body).unwrap();
            sent.body = encoder.finish().unwrap();
            sent.headers.push(("content-encoding", "gzip"));
            sent
        }),
        sent("a body of gzip that nobody speaks of", transport("no field SAMLResponse"), same, |mut sent| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut encoder, &sent.body).unwrap();
            sent.body = encoder.finish().unwrap();
            sent
        }),
        sent("the response twice", transport("more than once"), same, |mut sent| {
            sent.body = [&sent.body[..], b"&", &sent.body].concat();
            sent
        }),
        sent("an empty response behind the genuine one", transport("more than once"), same, |mut sent| {
            sent.body.extend_from_slice(b"&SAMLResponse=");
            sent
        }),
        sent(
            "two relay states",
            transport("more than once"),
            |mut sent| {
                sent.body.extend_from_slice(b"&RelayState=a");
                sent
            },
            |mut sent| {
                sent.body.extend_from_slice(b"&RelayState=a&RelayState=b");
                sent
            },
        ),
        sent("the response under a name of another case", transport("no field SAMLResponse"), same, |mut sent| {
            sent.body = String::from_utf8(sent.body).unwrap().replace("SAMLResponse", "samlresponse").into_bytes();
            sent
        }),
        sent("the response as a request", transport("no field SAMLResponse"), same, |mut sent| {
            sent.body = String::from_utf8(sent.body).unwrap().replace("SAMLResponse", "SAMLRequest").into_bytes();
            sent
        }),
        sent("the response as an artifact", transport("no field SAMLResponse"), same, |mut sent| {
            sent.body = pair("SAMLart", "AAQAAMFbLinlXaCM").into_bytes();
            sent
        }),
        sent(
            "the response in the query",
            transport("no field SAMLResponse"),
            |mut sent| {
                sent.path = format!("{}?SAMLResponse=x&RelayState=y", acs(SLUG));
                sent
            },
            |mut sent| {
                sent.path = format!("{}?{}", acs(SLUG), String::from_utf8(std::mem::take(&mut sent.body)).unwrap());
                sent
            },
        ),
        sent("the fields parted by semicolons", transport("no field SAMLResponse"), same, |mut sent| {
            sent.body = [b"RelayState=a;", &sent.body[..]].concat();
            sent
        }),
        sent(
            "256 KiB of base64",
            transport("256 KiB"),
            |mut sent| {
                let filler = 256 * 1024 - sent.body.len() - "&x=".len();
                sent.body.extend_from_slice(format!("&x={}", "a".repeat(filler)).as_bytes());
                sent
            },
            |mut sent| {
                let filler = 256 * 1024 - sent.body.len() - "&x=".len() + 1;
                sent.body.extend_from_slice(format!("&x={}", "a".repeat(filler)).as_bytes());
                sent
            },
        ),
        sent("20 MB", transport("256 KiB"), same, |mut sent| {
            sent.body = vec![b'a'; 20_000_000];
            sent
        }),
        sent("nothing", transport("no field SAMLResponse"), same, |mut sent| {
            sent.body.clear();
            sent
        }),
        sent("GET with the response in the query", transport(""), same, |mut sent| {
            sent.path = format!("{}?{}", acs(SLUG), String::from_utf8(std::mem::take(&mut sent.body)).unwrap());
            sent.method = Method::GET;
            sent
        })
        .answered(StatusCode::METHOD_NOT_ALLOWED),
        sent("PUT", transport(""), same, |mut sent| {
            sent.method = Method::PUT;
            sent
        })
        .answered(StatusCode::METHOD_NOT_ALLOWED),
        sent("a connection that is not there", transport(""), same, |sent| sent.to("nobody")).answered(StatusCode::NOT_FOUND),
        sent("a connection by a name with dots", transport(""), same, |mut sent| {
            sent.path = "/connections/x%2f..%2facme-okta/saml/acs".to_owned();
            sent
        })
        .answered(StatusCode::NOT_FOUND),
    ]
}
