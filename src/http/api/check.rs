//! The permission check: one question or up to a hundred in one request, and the same question by address.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query};
use crate::{
    admin::check::{self, CheckError, MOST, Permitted},
    domain::{
        id::{AccountId, Id, OrganizationId, ScopeId},
        model::RoleModel,
    },
    http::{caller::api::Caller, error::Problem, operation::Operation, routes::Routes},
    policy::{action::ReadAssignments, check::Question},
};

pub fn routes() -> Routes {
    Routes::chapter("Permission check", "Whether an account may do something at an organization, and because of what.")
        .document(
            Operation::post("/api/v1/check", "Ask whether an account may do something")
                .about(
                    "An object is one question and is answered by an object; an array of up to 100 by an array in the same order, all from \
                     one state of the database. An answer is never older than the last change before the request. Everybody may ask about \
                     themselves; asking about others takes the right to see assignments at the organization. What does not exist is \
                     answered with `allowed: false`.",
                )
                .needs::<ReadAssignments>()
                .only_reads()
                .takes::<Questions>()
                .answers::<Answers>(StatusCode::OK, "One answer, or one for each question")
                .refuses(StatusCode::BAD_REQUEST, &["id", "too_many"]),
            ask,
        )
        .document(
            Operation::get("/api/v1/accounts/{id}/explain", "Explain why an account may or may not do something")
                .about("The question of `/api/v1/check` about one account, for people who ask why.")
                .needs::<ReadAssignments>()
                .query::<Explained>()
                .answers::<check::Answer>(StatusCode::OK, "The answer with its reason")
                .refuses(StatusCode::BAD_REQUEST, &["id"]),
            explain,
        )
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::NotFound => Self::not_found(),
            CheckError::Again => Self::unavailable("The tenant's roles are being changed; try again."),
            CheckError::Db(error) => error.into(),
        }
    }
}

/// One question.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Question)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Id of the account that is asked about.
    account: String,
    /// Of the tenant's permission catalogue.
    entity: String,
    action: String,
    /// Id or slug.
    organization: String,
    /// Id of a context or resource of that organization.
    #[serde(default)]
    resource_scope: Option<String>,
}

/// For the document alone: which of the two it is, the first character says.
#[expect(dead_code, reason = "a schema")]
#[derive(ToSchema)]
#[serde(untagged)]
enum Questions {
    One(Asked),
    Many(Vec<Asked>),
}

/// One answer, or one for each question.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Answers {
    One(check::Answer),
    Many(Vec<check::Answer>),
}

async fn ask(caller: Caller, body: Body) -> Result<Response, Problem> {
    if !body.is_array() {
        let asked: Asked = body.read()?;
        let question = permitted(&caller, &asked, "")?;
        let answer = answer(&caller, &[question]).await?.into_iter().next().ok_or_else(Problem::not_found)?;
        return Ok(respond(&Answers::One(answer)));
    }
    let asked: Vec<Asked> = body.read_array()?;
    if asked.len() > MOST {
        let detail = format!("{} questions in one request; at most {MOST} are answered.", asked.len());
        return Err(Problem::invalid("too_many", detail));
    }
    let questions = asked.iter().enumerate().map(|(n, asked)| permitted(&caller, asked, &format!("[{n}].")));
    let questions: Vec<_> = questions.collect::<Result<_, _>>()?;
    Ok(respond(&Answers::Many(answer(&caller, &questions).await?)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Explained {
    /// Of the tenant's permission catalogue.
    entity: String,
    action: String,
    /// Id or slug.
    organization: String,
    /// Id of a context or resource of that organization.
    resource_scope: Option<String>,
}

async fn explain(caller: Caller, Path(account): Path<AccountId>, Query(sent): Query<Explained>) -> Result<Response, Problem> {
    let Explained { entity, action, organization, resource_scope } = sent;
    let asked = Asked { account: account.to_string(), entity, action, organization, resource_scope };
    let question = permitted(&caller, &asked, "")?;
    let answer = answer(&caller, &[question]).await?.into_iter().next().ok_or_else(Problem::not_found)?;
    Ok(respond(&answer))
}

async fn answer(caller: &Caller, questions: &[Permitted]) -> Result<Vec<check::Answer>, Problem> {
    Ok(check::answer(caller.db(), &caller.app.published, &caller.app.checks, caller.tenant, &caller.actor, questions).await?)
}

fn respond<T: Serialize>(answer: &T) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

/// `place` is where the question stands in an array.
fn permitted(caller: &Caller, asked: &Asked, place: &str) -> Result<Permitted, Problem> {
    let account: AccountId = id(&asked.account, &format!("{place}account"))?;
    let resource_scope: Option<ScopeId> =
        asked.resource_scope.as_deref().map(|text| id(text, &format!("{place}resource_scope"))).transpose()?;
    let question = Question {
        entity: &asked.entity,
        action: &asked.action,
        organization: organization(&caller.model, &asked.organization),
        resource_scope,
    };
    check::permit(&caller.actor, &caller.model, account, &question)
        .map_err(|denied| Problem::from(denied).at(format!("{place}organization")))
}

fn id<Kind>(text: &str, field: &str) -> Result<Id<Kind>, Problem> {
    Id::parse(text).map_err(|error| Problem::invalid("id", format!("{field}: {error}.")).at(field))
}

/// By id or by slug. What is neither gets the id that nothing has: the answer says that there is no such organization.
fn organization(model: &RoleModel, text: &str) -> OrganizationId {
    let by_id = OrganizationId::parse(text).ok().filter(|id| model.organizations.find(*id).is_some());
    let by_slug = || model.organizations.find_slug(text).map(|organization| organization.id);
    by_id.or_else(by_slug).unwrap_or_else(|| OrganizationId::new(uuid::Uuid::nil()))
}
