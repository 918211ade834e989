//! What arrives at the assertion consumer: a form, within bounds, with each field once. Nothing is taken from the query.

use std::{borrow::Cow, future::poll_fn, pin::pin, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    http::{HeaderMap, header},
};

use super::intake::{Full, Held};
use crate::saml::MAX_FORM_VALUE;

/// Bytes of the body: base64 of a response, percent-encoded.
const MAX_BODY: usize = MAX_FORM_VALUE;
/// A browser hands a form over at once. While the body comes it takes room from others.
const BODY_TIME: Duration = Duration::from_secs(15);

#[derive(Debug, PartialEq, Eq)]
pub struct AcsForm {
    pub saml_response: String,
    pub relay_state: Option<String>,
}

/// Why there is no form.
#[derive(Debug, PartialEq, Eq)]
pub enum FormError {
    /// In words for the log.
    Refused(String),
    /// Too much is held already.
    Full,
}

impl From<String> for FormError {
    fn from(message: String) -> Self {
        Self::Refused(message)
    }
}

impl From<Full> for FormError {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

/// Reads the body as far as it may go; what was read is held until `held` is dropped.
pub async fn read(headers: &HeaderMap, body: Body, held: &mut Held) -> Result<AcsForm, FormError> {
    check_headers(headers)?;
    let bytes = bytes(body, held, BODY_TIME).await?;
    Ok(parse(&bytes)?)
}

/// Only waiting for the client is cut short here.
async fn bytes(body: Body, held: &mut Held, within: Duration) -> Result<Vec<u8>, FormError> {
    let late = |_| FormError::Refused(format!("the body did not come within {} seconds", within.as_secs_f32()));
    tokio::time::timeout(within, gather(body, held)).await.map_err(late)?
}

async fn gather(body: Body, held: &mut Held) -> Result<Vec<u8>, FormError> {
    let (mut body, mut bytes) = (pin!(body), Vec::new());
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|_| "the body was cut off".to_owned())?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > MAX_BODY {
            return Err(FormError::Refused(format!("the body is longer than {} KiB", MAX_BODY / 1024)));
        }
        held.grow(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// A form as browsers send one: of one type, in an alphabet that has ASCII's letters where ASCII has them, and not packed.
fn check_headers(headers: &HeaderMap) -> Result<(), String> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let content_type = types.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    if types.next().is_some() {
        return Err("there is more than one Content-Type".to_owned());
    }
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(format!("the Content-Type was {:?}, expected \"application/x-www-form-urlencoded\"", shown(media_type)));
    }
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim_matches('"').to_ascii_lowercase();
        if name.trim().eq_ignore_ascii_case("charset") && !matches!(value.as_str(), "utf-8" | "us-ascii" | "iso-8859-1") {
            return Err(format!("the charset was {:?}, expected \"UTF-8\"", shown(&value)));
        }
    }
    match headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?")) {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(encoding) => Err(format!("the Content-Encoding was {:?}: a form is not packed", shown(encoding))),
    }
}

fn parse(bytes: &[u8]) -> Result<AcsForm, String> {
    let (response, _, relay_state) = fields(url::form_urlencoded::parse(bytes))?;
    let saml_response = response.ok_or("there is no field SAMLResponse in the form")?;
    Ok(AcsForm { saml_response, relay_state })
}

/// What a logout message is carried as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    Request(String),
    Response(String),
}

/// As [`read`], for a form that carries a request or a response.
pub async fn read_message(headers: &HeaderMap, body: Body, held: &mut Held) -> Result<(Carried, Option<String>), FormError> {
    check_headers(headers)?;
    Ok(parse_message(&bytes(body, held, BODY_TIME).await?)?)
}

fn parse_message(bytes: &[u8]) -> Result<(Carried, Option<String>), String> {
    carried(fields(url::form_urlencoded::parse(bytes))?)
}

/// A request or a response, one of them, in a query. A name counts as it stands there, here as where the signature is verified: one in
/// disguise (`%52elayState`) is not signed and names another parameter.
pub fn parse_query(query: &str) -> Result<(Carried, Option<String>), String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let decoded = |value: &str| url::form_urlencoded::parse(format!("v={value}").as_bytes()).next().map(|(_, value)| value.into_owned());
    carried(fields(pairs.map(|(name, value)| (name.into(), decoded(value).unwrap_or_default().into())))?)
}

fn carried(fields: Fields) -> Result<(Carried, Option<String>), String> {
    match fields {
        (Some(response), None, relay_state) => Ok((Carried::Response(response), relay_state)),
        (None, Some(request), relay_state) => Ok((Carried::Request(request), relay_state)),
        (None, None, _) => Err("there is neither SAMLRequest nor SAMLResponse".to_owned()),
        (Some(_), Some(_), _) => Err("there are a SAMLRequest and a SAMLResponse at once".to_owned()),
    }
}

/// `SAMLResponse`, `SAMLRequest` and `RelayState`.
type Fields = (Option<String>, Option<String>, Option<String>);

/// Each of them at most once.
fn fields<'a>(pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Result<Fields, String> {
    let (mut response, mut request, mut relay_state) = (None, None, None);
    for (name, value) in pairs {
        let field = match &*name {
            "SAMLResponse" => &mut response,
            "SAMLRequest" => &mut request,
            "RelayState" => &mut relay_state,
            _ => continue,
        };
        if field.replace(value.into_owned()).is_some() {
            return Err(format!("the field {name} is there more than once"));
        }
    }
    Ok((response, request, relay_state.filter(|state| !state.is_empty())))
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use uuid::Uuid;

    use super::{super::intake::Intake, *};
    use crate::domain::id::ConnectionId;

    async fn read_as(content_type: &str, body: Body) -> (Result<AcsForm, FormError>, usize) {
        let intake = Intake::default();
        let mut held = intake.enter(ConnectionId::new(Uuid::nil()), None).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        let form = read(&headers, body, &mut held).await;
        (form, intake.held())
    }

    #[test]
    fn each_field_stands_in_the_form_once() {
        let form = parse(b"SAMLResponse=PHg%2BIA%3D%3D&RelayState=%2Fme&other=1").unwrap();
        assert_eq!(form, AcsForm { saml_response: "PHg+IA==".to_owned(), relay_state: Some("/me".to_owned()) });
        assert_eq!(parse(b"SAMLResponse=x&RelayState=").unwrap().relay_state, None);
        for wrong in ["", "RelayState=x", "SAMLResponse=a&SAMLResponse=b", "SAMLResponse=a&RelayState=b&RelayState=b", "samlresponse=a"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn in_a_query_a_name_counts_as_it_stands_there() {
        let request = || Carried::Request("a+b".to_owned());
        assert_eq!(parse_query("SAMLRequest=a%2Bb&RelayState=x%20y&Signature=z").unwrap(), (request(), Some("x y".to_owned())));
        assert_eq!(parse_query("SAMLRequest=a%2Bb&%52elayState=x").unwrap(), (request(), None));
        assert_eq!(parse_query("SAMLRequest=a%2Bb&%53AMLResponse=x").unwrap().0, request());
        for wrong in ["", "%53AMLRequest=a", "SAMLRequest=a&SAMLResponse=b", "SAMLRequest=a&RelayState=b&RelayState=c"] {
            assert!(parse_query(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn of_another_type_nothing_is_read() {
        for wrong in ["multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencoded; charset=utf-16"] {
            let (form, held) = read_as(wrong, Body::from("SAMLResponse=a")).await;
            assert!(matches!(form, Err(FormError::Refused(_))), "{wrong}");
            assert_eq!(held, Held::LEAST, "{wrong}");
        }
        assert!(read_as("application/x-www-form-urlencoded; charset=\"UTF-8\"", Body::from("SAMLResponse=a")).await.0.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_in_time_gives_its_room_back() {
        let intake = Intake::default();
        let mut held = intake.enter(ConnectionId::new(Uuid::nil()), None).unwrap();
        // Some of it comes, and then nothing more.
        let first = stream::iter([Ok::<_, std::convert::Infallible>("SAMLResponse=a")]);
        let outcome = bytes(Body::from_stream(first.chain(stream::pending())), &mut held, Duration::from_millis(50)).await;
        assert_eq!(outcome, Err(FormError::Refused("the body did not come within 0.05 seconds".to_owned())));
        drop(held);
        assert_eq!(intake.held(), 0);
    }

    #[tokio::test]
    async fn a_longer_body_is_refused_and_takes_no_room() {
        for (length, fits) in [(MAX_BODY, true), (MAX_BODY + 1, false), (20_000_000, false)] {
            let body = format!("SAMLResponse={}", "a".repeat(length - "SAMLResponse=".len()));
            let (form, held) = read_as("application/x-www-form-urlencoded", Body::from(body)).await;
            match form {
                Ok(_) => assert_eq!((fits, held), (true, MAX_BODY)),
                Err(error) => {
                    assert_eq!(error, FormError::Refused("the body is longer than 256 KiB".to_owned()));
                    assert_eq!((fits, held), (false, Held::LEAST));
                }
            }
        }
    }
}
