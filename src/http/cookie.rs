//! Cookies: what the browser sent, and what it is told to keep. Values are ours alone, so they need no quoting.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, header};

/// When the browser sends a cookie along with a request from another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Also with the POST by which an identity provider's page hands over its response. Browsers want `Secure` with it.
    None,
    /// Only when a link is followed.
    Lax,
}

/// Every pair of the request's cookies, in order.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    pairs(headers).find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// A cookie for this host and all its paths, out of reach of scripts.
#[must_use]
pub fn keep(name: &str, value: &str, max_age_secs: i64, same_site: SameSite, secure: bool) -> HeaderValue {
    let same_site = match same_site {
        SameSite::None => "None",
        SameSite::Lax => "Lax",
    };
    let mut line = format!("{name}={value}; Path=/; Max-Age={max_age_secs}; HttpOnly; SameSite={same_site}");
    if secure {
        write!(line, "; Secure").expect("a String takes every write");
    }
    HeaderValue::from_str(&line).expect("names and values of our cookies are visible ASCII")
}

/// Makes the browser forget the cookie.
#[must_use]
pub fn forget(name: &str, same_site: SameSite, secure: bool) -> HeaderValue {
    keep(name, "", 0, same_site, secure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_read_from_any_number_of_headers() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; b=x=y"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=; d"));
        assert_eq!(pairs(&headers).collect::<Vec<_>>(), [("a", "1"), ("b", "x=y"), ("c", "")]);
        assert_eq!(find(&headers, "b"), Some("x=y"));
        assert_eq!(find(&headers, "d"), None);
    }

    #[test]
    fn a_cookie_is_kept_and_forgotten_with_the_same_attributes() {
        assert_eq!(keep("__Host-x", "1", 60, SameSite::None, true), "__Host-x=1; Path=/; Max-Age=60; HttpOnly; SameSite=None; Secure");
        assert_eq!(forget("x", SameSite::Lax, false), "x=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }
}
