//! The permission check: one question or up to a hundred in one request, and the same question by address.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query},
    http::header,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::body::parse;
use crate::{
    admin::check::{self, CheckError, MOST, Permitted},
    domain::{
        id::{AccountId, Id, OrganizationId, ScopeId},
        model::RoleModel,
    },
    http::{caller::session::SessionCaller, error::Problem},
    policy::check::Question,
};

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::NotFound => Self::not_found(),
            CheckError::Again => Self::unavailable("The tenant's roles are being changed; try again."),
            CheckError::Db(error) => error.into(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    account: String,
    entity: String,
    action: String,
    /// Id or slug.
    organization: String,
    #[serde(default)]
    resource_scope: Option<String>,
}

/// An object is one question and is answered by an object; an array by an array in the same order.
pub async fn ask(caller: SessionCaller, body: Bytes) -> Result<Response, Problem> {
    if body.trim_ascii_start().first() != Some(&b'[') {
        let asked: Asked = parse(&body)?;
        let question = permitted(&caller, &asked, "")?;
        return Ok(respond(&answer(&caller, &[question]).await?[0]));
    }
    let asked: Vec<Asked> = parse(&body)?;
    if asked.len() > MOST {
        return Err(Problem::invalid("too_many", format!("{} questions in one request; at most {MOST} are answered.", asked.len())));
    }
    let questions = asked.iter().enumerate().map(|(n, asked)| permitted(&caller, asked, &format!("[{n}].")));
    let questions: Vec<_> = questions.collect::<Result<_, _>>()?;
    Ok(respond(&answer(&caller, &questions).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    entity: String,
    action: String,
    organization: String,
    resource_scope: Option<String>,
}

pub async fn explain(caller: SessionCaller, Path(id): Path<String>, Query(sent): Query<Explained>) -> Result<Response, Problem> {
    let Explained { entity, action, organization, resource_scope } = sent;
    let question = permitted(&caller, &Asked { account: id, entity, action, organization, resource_scope }, "")?;
    Ok(respond(&answer(&caller, &[question]).await?[0]))
}

async fn answer(caller: &SessionCaller, questions: &[Permitted]) -> Result<Vec<check::Answer>, Problem> {
    Ok(check::answer(caller.db(), &caller.app.published, &caller.app.rule_names, caller.tenant, questions).await?)
}

fn respond<T: Serialize>(answer: &T) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

/// `place` is where the question stands in an array.
fn permitted(caller: &SessionCaller, asked: &Asked, place: &str) -> Result<Permitted, Problem> {
    let account: AccountId = id(&asked.account, &format!("{place}account"))?;
    let resource_scope = asked.resource_scope.as_deref().map(|text| id::<_>(text, &format!("{place}resource_scope"))).transpose()?;
    let question = Question {
        entity: &asked.entity,
        action: &asked.action,
        organization: organization(&caller.model, &asked.organization),
        resource_scope: resource_scope.map(|id: ScopeId| id),
    };
    check::permit(&caller.actor, &caller.model, account, &question).map_err(Problem::denied)
}

fn id<Kind>(text: &str, field: &str) -> Result<Id<Kind>, Problem> {
    Id::parse(text).map_err(|error| Problem::invalid("id", format!("{field}: {error}.")))
}

/// By id or by slug. What is neither gets the id that nothing has: the answer says that there is no such organization.
fn organization(model: &RoleModel, text: &str) -> OrganizationId {
    let by_slug = || model.organizations.find_slug(text).map(|organization| organization.id);
    OrganizationId::parse(text).ok().or_else(by_slug).unwrap_or_else(|| OrganizationId::new(uuid::Uuid::nil()))
}
