//! `/connections/{slug}/oauth/token`: OAuth 2.0 client credentials for SCIM (RFC 6749 section 4.4).
//!
//! Whatever is wrong with the client, the answer is one and the same: nothing tells whether a connection or a client exists.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use url::form_urlencoded;

use crate::{
    app::App,
    db::{DbError, oauth},
    domain::{
        actor::Actor,
        id::{TokenId, kind},
        secret::Secret,
    },
    keys,
};

/// How long an access token counts.
pub const TTL_SECS: i64 = 3600;
/// Longer bodies are none of ours.
const LONGEST: usize = 8 * 1024;

/// RFC 6749 section 5.2.
#[derive(Debug)]
enum Refused {
    Request(&'static str),
    GrantType,
    Client,
    Unavailable,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, error, description) = match self {
            Self::Request(why) => (StatusCode::BAD_REQUEST, "invalid_request", why),
            Self::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type", "grant_type is client_credentials."),
            Self::Client => (StatusCode::UNAUTHORIZED, "invalid_client", "The client's id or secret is not right for this connection."),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "Try again in a moment."),
        };
        let mut response = (status, Json(json!({ "error": error, "error_description": description }))).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"rolegate\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<DbError> for Refused {
    fn from(error: DbError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "an access token could not be given");
        Self::Unavailable
    }
}

struct Credentials {
    client: String,
    secret: Secret<String>,
}

pub async fn token(
    State(app): State<App>,
    Path(slug): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, impl IntoResponse> {
    give(&app, &slug, &headers, &body).await
}

async fn give(app: &App, slug: &str, headers: &HeaderMap, body: &[u8]) -> Result<Response, Refused> {
    if body.len() > LONGEST {
        return Err(Refused::Request("The body is too long."));
    }
    let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    // Section 3.2: "Request and response parameters MUST NOT be included more than once."
    let field = |name: &'static str| match form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>()[..]
    {
        [] | [""] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(Refused::Request("A parameter is there twice.")),
    };
    if field("grant_type")?.ok_or(Refused::Request("grant_type is missing."))? != "client_credentials" {
        return Err(Refused::GrantType);
    }
    let credentials = match basic(headers) {
        Some(credentials) => credentials,
        None => Credentials {
            client: field("client_id")?.ok_or(Refused::Client)?.to_owned(),
            secret: Secret::new(field("client_secret")?.ok_or(Refused::Client)?.to_owned()),
        },
    };
    let now = app.now();
    let hash = keys::hash(credentials.secret.expose());
    let client = oauth::authenticate_client(&app.db, slug, &credentials.client, &hash, now).await?.ok_or(Refused::Client)?;
    let token = keys::access_token(app.random.bytes());
    let id: TokenId = app.occasion(Actor::System, "oauth").ids.make::<kind::Token>();
    let mut tx = app.db.begin().await?;
    oauth::insert_access_token(&mut tx, client, id, &keys::hash(token.expose()), now, now.plus_secs(TTL_SECS)).await?;
    tx.commit().await?;
    let body = json!({ "access_token": token.expose(), "token_type": "Bearer", "expires_in": TTL_SECS });
    Ok(([(header::PRAGMA, "no-cache")], Json(body)).into_response())
}

/// Section 2.3.1: id and secret, each form-encoded, in the Authorization header.
fn basic(headers: &HeaderMap) -> Option<Credentials> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client, secret) = text.split_once(':')?;
    let decode = |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    Some(Credentials { client: decode(client), secret: Secret::new(decode(secret)) })
}
