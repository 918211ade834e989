//! Sign-ins that show what they would do: an owner starts one, opens its address in a browser, and reads the result here.

use axum::{
    Json,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    admin::test_sign_in,
    db::test_sign_in::TestRow,
    domain::id::EventId,
    http::{
        caller::session::{ChangingCaller, SessionCaller},
        error::Problem,
    },
    keys,
    policy::action::ConfigureSignIn,
};

pub async fn start(ChangingCaller(caller): ChangingCaller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ConfigureSignIn>(&connection)?;
    let saml = &connection.saml;
    if saml.idp_entity_id.is_empty() || (saml.sso_url.is_none() && saml.sso_post_url.is_none()) {
        return Err(Problem::conflict("no_metadata", "The connection knows no identity provider yet: import its metadata first."));
    }
    let secret = keys::secret(caller.app.random.bytes());
    let row = test_sign_in::start(&grant, caller.db(), &mut caller.occasion(), &connection, &secret).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    caller.app.committed.notify_one();
    let url = caller.app.config.public_url.join(&format!("/connections/{slug}/saml/test?token={}", secret.expose()));
    let body = json!({ "id": row.id, "url": url, "expires_at": row.expires_at.to_string() });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

pub async fn get(caller: SessionCaller, Path((slug, id)): Path<(String, String)>) -> Result<Response, Problem> {
    let row = find(&caller, &slug, &id).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(shown(&row))).into_response())
}

/// The test, for those who may see it.
pub(in crate::http) async fn find(caller: &SessionCaller, slug: &str, id: &str) -> Result<TestRow, Problem> {
    let connection = caller.connection(slug).await?;
    let grant = caller.authorize::<ConfigureSignIn>(&connection)?;
    let id = EventId::parse(id).map_err(|_| Problem::not_found())?;
    test_sign_in::find(&grant, caller.db(), &connection, id, caller.app.now()).await?.ok_or_else(Problem::not_found)
}

fn shown(row: &TestRow) -> Value {
    json!({
        "id": row.id,
        "state": row.state,
        "started_by": row.started_by,
        "created_at": row.created_at.to_string(),
        "expires_at": row.expires_at.to_string(),
        "result": row.result,
    })
}
