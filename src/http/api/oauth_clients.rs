//! OAuth 2.0 clients of a connection. Secrets are shown once, when they are made.

use axum::{
    Json,
    body::Bytes,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::parse;
use crate::{
    admin::oauth_client::{self, Made, OauthClientError},
    db::oauth::{ClientRow, SecretRow},
    domain::{
        id::{OauthClientId, OauthSecretId},
        name::Title,
    },
    http::{
        caller::session::{ChangingCaller, SessionCaller},
        error::Problem,
    },
    policy::action::ManageScimTokens,
};

impl From<OauthClientError> for Problem {
    fn from(error: OauthClientError) -> Self {
        match error {
            OauthClientError::NotFound => Self::not_found(),
            OauthClientError::NoRoom => Self::conflict("two_live_secrets", format!("{error}.")),
            OauthClientError::Db(error) => error.into(),
        }
    }
}

pub async fn list(caller: SessionCaller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ManageScimTokens>(&connection)?;
    let rows = oauth_client::list(&grant, caller.db(), &connection).await?;
    let body = json!({ "oauth_clients": rows.iter().map(shown).collect::<Vec<_>>() });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewClient {
    name: String,
}

pub async fn create(ChangingCaller(caller): ChangingCaller, Path(slug): Path<String>, body: Bytes) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ManageScimTokens>(&connection)?;
    let sent: NewClient = parse(&body)?;
    let name = Title::parse("name", &sent.name).map_err(|error| Problem::invalid("name", format!("{error}.")))?;
    let made =
        oauth_client::create(&grant, caller.db(), &mut caller.occasion(), &connection, name.as_str(), caller.app.random.bytes()).await?;
    caller.app.committed.notify_one();
    Ok(once(&made, &caller.app.config.public_url.join(&format!("/connections/{slug}/oauth/token"))))
}

pub async fn add_secret(ChangingCaller(caller): ChangingCaller, Path((slug, id)): Path<(String, String)>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ManageScimTokens>(&connection)?;
    let id = OauthClientId::parse(&id).map_err(|_| Problem::not_found())?;
    let made = oauth_client::add_secret(&grant, caller.db(), &mut caller.occasion(), &connection, id, caller.app.random.bytes()).await?;
    caller.app.committed.notify_one();
    Ok(once(&made, &caller.app.config.public_url.join(&format!("/connections/{slug}/oauth/token"))))
}

pub async fn revoke_secret(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id, secret)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ManageScimTokens>(&connection)?;
    let id = OauthClientId::parse(&id).map_err(|_| Problem::not_found())?;
    let secret = OauthSecretId::parse(&secret).map_err(|_| Problem::not_found())?;
    oauth_client::revoke_secret(&grant, caller.db(), &mut caller.occasion(), &connection, id, secret).await?;
    caller.app.committed.notify_one();
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn revoke(ChangingCaller(caller): ChangingCaller, Path((slug, id)): Path<(String, String)>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ManageScimTokens>(&connection)?;
    let id = OauthClientId::parse(&id).map_err(|_| Problem::not_found())?;
    oauth_client::revoke(&grant, caller.db(), &mut caller.occasion(), &connection, id).await?;
    caller.app.committed.notify_one();
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The only answer with a secret in it.
fn once(made: &Made, token_url: &str) -> Response {
    let body = json!({
        "client_id": made.client,
        "secret_id": made.id,
        "client_secret": made.secret.expose(),
        "expires_at": made.expires_at.to_string(),
        "token_url": token_url,
    });
    (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn shown((client, secrets): &(ClientRow, Vec<SecretRow>)) -> Value {
    let secret = |row: &SecretRow| {
        json!({
            "id": row.id,
            "created_at": row.created_at.to_string(),
            "expires_at": row.expires_at.to_string(),
            "revoked_at": row.revoked_at.map(|at| at.to_string()),
            "last_used_at": row.last_used_at.map(|at| at.to_string()),
        })
    };
    json!({
        "client_id": client.id,
        "name": client.name,
        "created_at": client.created_at.to_string(),
        "revoked_at": client.revoked_at.map(|at| at.to_string()),
        "secrets": secrets.iter().map(secret).collect::<Vec<_>>(),
    })
}
