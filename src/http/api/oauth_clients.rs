//! OAuth 2.0 clients of a connection. Secrets are shown once, when they are made.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    extract::{Body, Path},
    value::Moment,
};
use crate::{
    admin::oauth_client::{self, Made, OauthClientError},
    db::oauth::{ClientRow, SecretRow},
    domain::{
        id::{OauthClientId, OauthSecretId},
        name::Title,
    },
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::action::ManageScimTokens,
};

const PATH: &str = "/api/v1/connections/{slug}/oauth-clients";

pub fn routes() -> Routes {
    Routes::chapter(
        "OAuth clients",
        "SCIM clients that get short-lived tokens by the client credentials grant. They can speak SCIM for their connection and nothing else.",
    )
    .document(
        Operation::get(PATH, "List the OAuth clients of a connection")
            .needs::<ManageScimTokens>()
            .answers::<ClientList>(StatusCode::OK, "All of them, revoked ones too"),
        list,
    )
    .document(
        Operation::post(PATH, "Make an OAuth client")
            .needs::<ManageScimTokens>()
            .takes::<NewClient>()
            .answers::<NewSecret>(StatusCode::CREATED, "The only answer with its first secret")
            .refuses(StatusCode::BAD_REQUEST, &["name"]),
        create,
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/oauth-clients/{id}/revoke", "Revoke an OAuth client")
            .about("With its secrets and the tokens that were made with them.")
            .needs::<ManageScimTokens>()
            .answers_nothing("It is revoked"),
        revoke,
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/oauth-clients/{id}/secrets", "Make another secret of an OAuth client")
            .about("Two may live at a time, so that one can be changed for another while both work.")
            .needs::<ManageScimTokens>()
            .answers::<NewSecret>(StatusCode::CREATED, "The only answer with the secret")
            .refuses(StatusCode::CONFLICT, &["two_live_secrets"]),
        add_secret,
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/oauth-clients/{id}/secrets/{secret}/revoke", "Revoke a secret of an OAuth client")
            .needs::<ManageScimTokens>()
            .answers_nothing("It is revoked"),
        revoke_secret,
    )
}

impl From<OauthClientError> for Problem {
    fn from(error: OauthClientError) -> Self {
        match error {
            OauthClientError::NotFound => Self::not_found(),
            OauthClientError::NoRoom => Self::conflict("two_live_secrets", format!("{error}.")),
            OauthClientError::Db(error) => error.into(),
        }
    }
}

async fn list(caller: Caller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ManageScimTokens>(&slug).await?;
    let rows = oauth_client::list(&grant, caller.db(), &connection).await?;
    let body = ClientList { oauth_clients: rows.iter().map(ShownClient::of).collect() };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewOauthClient)]
#[serde(deny_unknown_fields)]
struct NewClient {
    name: String,
}

async fn create(ChangingCaller(caller): ChangingCaller, Path(slug): Path<String>, body: Body) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ManageScimTokens>(&slug).await?;
    let sent: NewClient = body.read()?;
    let name = Title::parse("name", &sent.name).map_err(|error| Problem::invalid("name", format!("{error}.")).at("name"))?;
    let made =
        oauth_client::create(&grant, caller.db(), &mut caller.occasion(), &connection, name.as_str(), caller.app.random.bytes()).await?;
    caller.committed();
    Ok(once(&made, caller.app.config.public_url.join(&format!("/connections/{slug}/oauth/token"))))
}

async fn add_secret(ChangingCaller(caller): ChangingCaller, Path((slug, id)): Path<(String, OauthClientId)>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ManageScimTokens>(&slug).await?;
    let made = oauth_client::add_secret(&grant, caller.db(), &mut caller.occasion(), &connection, id, caller.app.random.bytes()).await?;
    caller.committed();
    Ok(once(&made, caller.app.config.public_url.join(&format!("/connections/{slug}/oauth/token"))))
}

async fn revoke_secret(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id, secret)): Path<(String, OauthClientId, OauthSecretId)>,
) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ManageScimTokens>(&slug).await?;
    oauth_client::revoke_secret(&grant, caller.db(), &mut caller.occasion(), &connection, id, secret).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn revoke(ChangingCaller(caller): ChangingCaller, Path((slug, id)): Path<(String, OauthClientId)>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ManageScimTokens>(&slug).await?;
    oauth_client::revoke(&grant, caller.db(), &mut caller.occasion(), &connection, id).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The only answer with a secret in it.
fn once(made: &Made, token_url: String) -> Response {
    let body = NewSecret {
        client_id: made.client,
        secret_id: made.id,
        client_secret: made.secret.expose().clone(),
        expires_at: made.expires_at.into(),
        token_url,
    };
    (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

#[derive(Serialize, ToSchema)]
#[schema(as = NewOauthSecret)]
struct NewSecret {
    client_id: OauthClientId,
    secret_id: OauthSecretId,
    /// Shown this once.
    client_secret: String,
    expires_at: Moment,
    /// Where the client gets its tokens.
    token_url: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OauthClientList)]
struct ClientList {
    oauth_clients: Vec<ShownClient>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OauthClient)]
struct ShownClient {
    client_id: OauthClientId,
    name: String,
    created_at: Moment,
    revoked_at: Option<Moment>,
    secrets: Vec<ShownSecret>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OauthSecret)]
struct ShownSecret {
    id: OauthSecretId,
    created_at: Moment,
    expires_at: Moment,
    revoked_at: Option<Moment>,
    last_used_at: Option<Moment>,
}

impl ShownClient {
    fn of((client, secrets): &(ClientRow, Vec<SecretRow>)) -> Self {
        Self {
            client_id: client.id,
            name: client.name.clone(),
            created_at: client.created_at.into(),
            revoked_at: client.revoked_at.map(Moment),
            secrets: secrets.iter().map(ShownSecret::of).collect(),
        }
    }
}

impl ShownSecret {
    fn of(row: &SecretRow) -> Self {
        Self {
            id: row.id,
            created_at: row.created_at.into(),
            expires_at: row.expires_at.into(),
            revoked_at: row.revoked_at.map(Moment),
            last_used_at: row.last_used_at.map(Moment),
        }
    }
}
