//! Pages for people: small, without scripts (but for the one line that sends a form on) and without anything from elsewhere, and told so to
//! the browser.

use std::sync::LazyLock;

use askama::Template;
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use super::error::{self, Kind, Problem};
use crate::domain::text::visible;

/// Stands in every page; the policy names its hash.
pub const STYLE: &str = include_str!("../../templates/style.css");

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'");
    HeaderValue::from_str(&policy).expect("a policy is visible ASCII")
});

/// Sends the form of [`send_on`] without a click.
pub const SUBMIT: &str = "document.forms[0].submit()";

/// Of the page that sends a form to another site. There is no `form-action`: browsers would hold it against redirects of that site too.
static SENDING_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let (style, script) = (hash(STYLE), hash(SUBMIT));
    let policy =
        format!("default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; frame-ancestors 'none'; base-uri 'none'");
    HeaderValue::from_str(&policy).expect("a policy is visible ASCII")
});

#[derive(Debug, Template)]
#[template(path = "post.html")]
struct SendOn<'a> {
    title: &'a str,
    destination: &'a str,
    fields: &'a [(&'a str, &'a str)],
}

/// A page that sends a form to another site at once (the HTTP-POST binding).
pub fn send_on(title: &str, destination: &str, fields: &[(&str, &str)]) -> Response {
    // The other site gets the fields back as it sent them, so that nothing in them is replaced.
    let page = SendOn { title, destination, fields }.render().map(|text| answer(StatusCode::OK, text));
    let mut response = page.unwrap_or_else(|error| Problem::internal(&error).into());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, SENDING_POLICY.clone());
    response
}

/// As [`respond`], for a page whose form leads on to other sites: browsers hold `form-action` against redirects too.
pub fn respond_leading_on(status: StatusCode, page: &impl Template) -> Response {
    let mut response = respond(status, page);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, SENDING_POLICY.clone());
    response
}

/// A page that says something was done here and goes on to another site by itself: no form was sent, so that no policy holds it back.
#[derive(Debug, Template)]
#[template(path = "go_on.html")]
pub struct GoOn<'a> {
    pub title: &'a str,
    pub url: &'a str,
}

/// A page for people to read: control and bidirectional characters in what it shows are replaced by visible escapes.
pub fn respond(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => answer(status, visible(&text, &['\n', '\r', '\t']).into_owned()),
        Err(error) => Problem::internal(&error).into(),
    }
}

/// A page with the headers that tell a browser what the page may do.
fn answer(status: StatusCode, text: String) -> Response {
    let mut response = (status, Html(text)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    let fixed: [(HeaderName, &str); 2] = [
        (header::X_FRAME_OPTIONS, "DENY"),
        // With `no-referrer` browsers would send `Origin: null` along with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page that only says something.
#[derive(Debug, Template)]
#[template(path = "message.html")]
pub struct Message<'a> {
    pub title: &'a str,
    pub lines: &'a [&'a str],
    pub reference: Option<String>,
}

/// A refusal for a person in front of a browser.
pub fn say(status: StatusCode, title: &str, lines: &[&str]) -> Response {
    respond(status, &Message { title, lines, reference: None })
}

#[must_use]
pub fn not_found() -> Response {
    say(StatusCode::NOT_FOUND, "There is nothing here", &["The address may be misspelt, or what it led to may be gone."])
}

/// What a page says where a program would get a problem document.
#[must_use]
pub fn failed(problem: Problem) -> Response {
    match problem.kind() {
        Kind::NotFound => not_found(),
        Kind::Unauthenticated => {
            let lines = ["Begin at your application's sign-in page, or at your identity provider."];
            say(StatusCode::UNAUTHORIZED, "You are not signed in", &lines)
        }
        Kind::Unavailable => {
            let mut response = say(StatusCode::SERVICE_UNAVAILABLE, "Not at the moment", &["Please try again in a moment."]);
            error::mark(problem.kind(), response.headers_mut());
            response
        }
        Kind::TooFast { .. } => {
            let lines = ["Too many requests came at once. Please try again in a moment."];
            let mut response = say(StatusCode::TOO_MANY_REQUESTS, "Not so fast", &lines);
            error::mark(problem.kind(), response.headers_mut());
            response
        }
        _ => problem.into(),
    }
}

/// Whether the caller would rather have JSON than a page: RFC 9110 section 12.5.1, of which the two types matter here.
#[must_use]
pub fn prefers_json(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<_> = lines.flat_map(|line| line.split(',')).filter_map(range).collect();
    let quality = |kind: &str| {
        let fits = |known: &str| known == kind || (known.strip_suffix("/*").is_some_and(|family| kind.starts_with(&format!("{family}/"))));
        // A whole type is nearer than a family, a family nearer than everything.
        let exact = ranges.iter().find(|(known, _)| *known == kind);
        let family = ranges.iter().find(|(known, _)| fits(known));
        let any = ranges.iter().find(|(known, _)| *known == "*/*");
        exact.or(family).or(any).map_or(0, |(_, quality)| *quality)
    };
    quality("application/json") > quality("text/html")
}

/// A media range with its quality in thousandths.
fn range(text: &str) -> Option<(&str, u32)> {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().filter(|kind| !kind.is_empty())?;
    let quality = parts.find_map(|part| part.strip_prefix("q="));
    let thousandths = |text: &str| {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        format!("{whole}{decimals:0<3}").parse().ok()
    };
    Some((kind, quality.map_or(Some(1000), thousandths).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_browser("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false)]
    #[case::a_program("application/json", true)]
    #[case::json_first("application/json, text/html;q=0.5", true)]
    #[case::html_first("application/json;q=0.4, text/html;q=0.5", false)]
    #[case::anything("*/*", false)]
    #[case::nothing("", false)]
    #[case::any_application("application/*", true)]
    #[case::json_else_anything("application/json, */*;q=0.1", true)]
    fn json_is_given_to_those_who_want_it_more(#[case] accept: &'static str, #[case] expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        assert_eq!(prefers_json(&headers), expected);
    }

    #[test]
    fn a_page_escapes_what_it_is_given_and_allows_nothing_from_elsewhere() {
        let page = Message { title: "<script>", lines: &["\"><img src=x>"], reference: Some("&".to_owned()) };
        let text = page.render().unwrap();
        assert!(!text.contains("<script>") && !text.contains("<img"), "{text}");
        let response = respond(StatusCode::OK, &page);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert_eq!(response.headers()[header::REFERRER_POLICY], "same-origin");
    }

    async fn text_of(response: Response) -> String {
        String::from_utf8(axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_page_shows_what_would_turn_text_around_and_sends_fields_as_they_are() {
        let page = Message { title: "ada\u{202e}nimda", lines: &["\u{1b}[2J", "علی\u{200c}رضا"], reference: None };
        let text = text_of(respond(StatusCode::OK, &page)).await;
        assert!(text.contains("<h1>ada\\u{202e}nimda</h1>") && text.contains("<p>\\u{1b}[2J</p>"), "{text}");
        assert!(text.contains("علی\u{200c}رضا"), "{text}");
        let sent = text_of(send_on("Sign out", "https://idp.example/slo", &[("RelayState", "\u{202e}x")])).await;
        assert!(sent.contains("\"\u{202e}x\""), "{sent}");
    }
}
