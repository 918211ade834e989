//! What requests to the API send, with refusals as problem documents: parameters of the path and of the query, and JSON bodies.

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::JsonRejection},
    http::{StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::{
    app::App,
    http::error::{Kind, Problem},
};

/// Parameters of the route. One that cannot be one, such as an id that is no UUID, names nothing: 404.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, app).await;
        read.map(|axum::extract::Path(value)| Self(value)).map_err(|_| Problem::not_found())
    }
}

/// Parameters behind the `?`; `T` refuses the ones it does not know.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, app).await;
        read.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection| {
            let text = rejection.body_text();
            let (field, detail) = said(&text, "query string: ");
            refused("parameter", field, detail)
        })
    }
}

/// A body that was not looked into yet: a handler asks for the right first, so that who may not do a thing learns nothing of what would
/// be accepted.
#[derive(Debug, Clone)]
pub struct Body(Bytes);

impl Body {
    /// # Errors
    /// 415 when it was sent as something else than JSON, 400 when it is not the JSON that is expected.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // Fields would be taken by their order.
        if self.is_array() {
            return Err(Problem::invalid("body", "The body is an array; an object was expected."));
        }
        self.read_any()
    }

    /// As [`Body::read`], of an array.
    pub fn read_array<T: DeserializeOwned>(&self) -> Result<Vec<T>, Problem> {
        self.read_any()
    }

    fn read_any<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if self.0.trim_ascii().is_empty() {
            return Err(Problem::invalid("body", "The body is empty: a JSON document is expected."));
        }
        Json::from_bytes(&self.0).map(|Json(value)| value).map_err(|rejection| {
            let text = rejection.body_text();
            match &rejection {
                JsonRejection::JsonDataError(_) => {
                    let (field, detail) = said(&text, "target type: ");
                    refused("body", field, detail)
                }
                _ => refused("body", None, text.split_once(": ").map_or(&*text, |(_, what)| what)),
            }
        })
    }

    /// Whether it is a JSON array, as far as its first character says.
    #[must_use]
    pub fn is_array(&self) -> bool {
        self.0.trim_ascii_start().first() == Some(&b'[')
    }

    /// As [`Body::read`], where no body says the same as an empty one.
    pub fn read_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.0.is_empty() { Ok(T::default()) } else { self.read() }
    }

    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.0).map_err(|_| Problem::invalid("body", "The body is not UTF-8."))
    }
}

/// Where it was and what, of `Failed to deserialize … {behind}a.b[0]: invalid type …`. No place when it is the body as a whole.
fn said<'t>(text: &'t str, behind: &str) -> (Option<&'t str>, &'t str) {
    let what = text.split_once(behind).map_or(text, |(_, what)| what);
    let what = what.split_once(" at line ").map_or(what, |(what, _)| what);
    let is_path = |place: &str| place.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']'));
    let (place, what) = what.split_once(": ").filter(|(place, _)| is_path(place)).map_or((None, what), |(place, what)| (Some(place), what));
    let missing = what.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let place = place.filter(|place| *place != "." && !place.is_empty());
    // What is missing is named itself; where it would stand is what it is missing in.
    (place.or(missing), what)
}

fn refused(code: &'static str, field: Option<&str>, detail: &str) -> Problem {
    let mut letters = detail.chars();
    let detail = letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()));
    let problem = Problem::invalid(code, detail);
    match field {
        Some(field) => problem.at(field),
        None => problem,
    }
}

impl FromRequest<App> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let sent = request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default().to_owned());
        let body = Bytes::from_request(request, app).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(Kind::TooLarge, "too_large", "The body is larger than 1 MiB.")
            } else {
                Problem::invalid("body", "The body ended before it was complete.")
            }
        })?;
        let kind = sent.as_deref().map(|sent| sent.split(';').next().unwrap_or_default().trim());
        // None at all is taken for JSON: hand-written clients.
        if !body.is_empty() && kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("application/json")) {
            return Err(Problem::new(Kind::UnsupportedMediaType, "unsupported_media_type", "The body must be application/json."));
        }
        Ok(Self(body))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        #[expect(dead_code, reason = "only read")]
        name: String,
        #[expect(dead_code, reason = "only read")]
        parts: Vec<i64>,
    }

    #[test]
    fn a_refusal_says_where_it_was_and_what() {
        for (text, field, detail) in [
            (r#"{"name": 7}"#, Some("name"), "invalid type: integer `7`, expected a string"),
            (r#"{"name": "x", "parts": [1, "2"]}"#, Some("parts[1]"), "invalid type: string \"2\", expected i64"),
            (r#"{"name": "x", "parts": [], "size": 1}"#, Some("size"), "unknown field `size`, expected `name` or `parts`"),
            ("{}", Some("name"), "missing field `name`"),
        ] {
            let rejection = Json::<Thing>::from_bytes(text.as_bytes()).unwrap_err().body_text();
            assert_eq!(said(&rejection, "target type: "), (field, detail), "{rejection}");
        }
        let query = "Failed to deserialize query string: limit: invalid digit found in string";
        assert_eq!(said(query, "query string: "), (Some("limit"), "invalid digit found in string"));
    }

    #[test]
    fn an_array_is_no_object() {
        assert!(Body(Bytes::from_static(b"[\"x\", [1]]")).read::<Thing>().is_err());
        assert!(Body(Bytes::from_static(b" [{\"name\": \"x\", \"parts\": []}]")).read_array::<Thing>().is_ok());
    }
}
