//! Sign-ins that show what they would do: an owner starts one, opens its address in a browser, and reads the result here.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{extract::Path, value::Moment};
use crate::{
    admin::test_sign_in,
    db::test_sign_in::{TestRow, TestState},
    domain::id::{AccountId, EventId},
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    keys,
    policy::action::ConfigureSignIn,
};

pub fn routes() -> Routes {
    Routes::chapter(
        "Test sign-ins",
        "A real sign-in at the identity provider that shows what it would do and does nothing, before a connection is switched on.",
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/test-sign-ins", "Start a test")
            .about("Open the address in a browser and sign in; it works once, for an hour.")
            .needs::<ConfigureSignIn>()
            .answers::<StartedTest>(StatusCode::CREATED, "Its address")
            .refuses(StatusCode::CONFLICT, &["no_metadata"]),
        start,
    )
    .document(
        Operation::get("/api/v1/connections/{slug}/test-sign-ins/{id}", "Read what a test showed")
            .about("The verified assertion, the person as rules see them, and what a sign-in would have done; or why the response would be refused.")
            .needs::<ConfigureSignIn>()
            .answers::<ShownTest>(StatusCode::OK, "The test, with its result once there is one"),
        get,
    )
}

#[derive(Serialize, ToSchema)]
struct StartedTest {
    id: EventId,
    url: String,
    expires_at: Moment,
}

async fn start(ChangingCaller(caller): ChangingCaller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ConfigureSignIn>(&slug).await?;
    let saml = &connection.saml;
    if saml.idp_entity_id.is_empty() || (saml.sso_url.is_none() && saml.sso_post_url.is_none()) {
        return Err(Problem::conflict("no_metadata", "The connection knows no identity provider yet: import its metadata first."));
    }
    let secret = keys::secret(caller.app.random.bytes());
    let row = test_sign_in::start(&grant, caller.db(), &mut caller.occasion(), &connection, &secret).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    caller.committed();
    let url = caller.app.config.public_url.join(&format!("/connections/{slug}/saml/test?token={}", secret.expose()));
    let body = StartedTest { id: row.id, url, expires_at: row.expires_at.into() };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

async fn get(caller: Caller, Path((slug, id)): Path<(String, EventId)>) -> Result<Response, Problem> {
    let row = find(&caller, &slug, id).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(ShownTest::of(row))).into_response())
}

/// The test, for those who may see it.
pub(in crate::http) async fn find(caller: &Caller, slug: &str, id: EventId) -> Result<TestRow, Problem> {
    let (connection, grant) = caller.authorize_connection::<ConfigureSignIn>(slug).await?;
    test_sign_in::find(&grant, caller.db(), &connection, id, caller.app.now()).await?.ok_or_else(Problem::not_found)
}

#[derive(Serialize, ToSchema)]
#[schema(as = TestSignIn)]
struct ShownTest {
    id: EventId,
    /// `waiting`, `begun`, `accepted` or `refused`.
    #[schema(value_type = String)]
    state: TestState,
    started_by: AccountId,
    created_at: Moment,
    /// Until then its result is kept.
    expires_at: Moment,
    /// `{assertion, identity, would}`, or `{refused: {step, message, why}}`; null until there is one.
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
}

impl ShownTest {
    fn of(row: TestRow) -> Self {
        Self {
            id: row.id,
            state: row.state,
            started_by: row.started_by,
            created_at: row.created_at.into(),
            expires_at: row.expires_at.into(),
            result: row.result,
        }
    }
}
