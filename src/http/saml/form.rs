//! What arrives at the assertion consumer: a form, within bounds, with each field once. Nothing is taken from the query.

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, header},
};

use crate::saml::MAX_FORM_VALUE;

/// Bytes of the body: base64 of a response, percent-encoded.
const MAX_BODY: usize = MAX_FORM_VALUE;

#[derive(Debug, PartialEq, Eq)]
pub struct AcsForm {
    pub saml_response: String,
    pub relay_state: Option<String>,
}

/// In words for the log.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<AcsForm, String> {
    parse(&read_bytes(headers, body).await?)
}

async fn read_bytes(headers: &HeaderMap, body: Body) -> Result<Bytes, String> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(format!("the Content-Type was {:?}, expected \"application/x-www-form-urlencoded\"", shown(media_type)));
    }
    to_bytes(body, MAX_BODY).await.map_err(|_| format!("the body is longer than {} KiB, or was cut off", MAX_BODY / 1024))
}

fn parse(bytes: &[u8]) -> Result<AcsForm, String> {
    let (response, _, relay_state) = fields(bytes)?;
    let saml_response = response.ok_or("there is no field SAMLResponse in the form")?;
    Ok(AcsForm { saml_response, relay_state })
}

/// What a logout message is carried as.
#[derive(Debug, PartialEq, Eq)]
pub enum Carried {
    Request(String),
    Response(String),
}

/// As [`read`], for a form that carries a request or a response.
pub async fn read_message(headers: &HeaderMap, body: Body) -> Result<(Carried, Option<String>), String> {
    parse_message(&read_bytes(headers, body).await?)
}

/// A request or a response, one of them, in a form or a query.
pub fn parse_message(bytes: &[u8]) -> Result<(Carried, Option<String>), String> {
    match fields(bytes)? {
        (Some(response), None, relay_state) => Ok((Carried::Response(response), relay_state)),
        (None, Some(request), relay_state) => Ok((Carried::Request(request), relay_state)),
        (None, None, _) => Err("there is neither SAMLRequest nor SAMLResponse".to_owned()),
        (Some(_), Some(_), _) => Err("there are a SAMLRequest and a SAMLResponse at once".to_owned()),
    }
}

/// `SAMLResponse`, `SAMLRequest` and `RelayState`, each at most once.
fn fields(bytes: &[u8]) -> Result<(Option<String>, Option<String>, Option<String>), String> {
    let (mut response, mut request, mut relay_state) = (None, None, None);
    for (name, value) in url::form_urlencoded::parse(bytes) {
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
    use super::*;

    #[test]
    fn each_field_stands_in_the_form_once() {
        let form = parse(b"SAMLResponse=PHg%2BIA%3D%3D&RelayState=%2Fme&other=1").unwrap();
        assert_eq!(form, AcsForm { saml_response: "PHg+IA==".to_owned(), relay_state: Some("/me".to_owned()) });
        assert_eq!(parse(b"SAMLResponse=x&RelayState=").unwrap().relay_state, None);
        for wrong in ["", "RelayState=x", "SAMLResponse=a&SAMLResponse=b", "SAMLResponse=a&RelayState=b&RelayState=b", "samlresponse=a"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn another_type_and_a_longer_body_are_refused() {
        let mut headers = HeaderMap::new();
        assert!(read(&headers, Body::from("SAMLResponse=a")).await.unwrap_err().contains("Content-Type"));
        headers.insert(header::CONTENT_TYPE, "multipart/form-data; boundary=x".parse().unwrap());
        assert!(read(&headers, Body::from("SAMLResponse=a")).await.is_err());
        headers.insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8".parse().unwrap());
        assert!(read(&headers, Body::from("SAMLResponse=a")).await.is_ok());
        let long = format!("SAMLResponse={}", "a".repeat(MAX_BODY));
        assert!(read(&headers, Body::from(long)).await.unwrap_err().contains("256 KiB"));
    }
}
