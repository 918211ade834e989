//! Domains of an organization.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    extract::{Body, Path},
    organizations::store,
    value::Moment,
};
use crate::{
    admin::domain::{self, DomainError, expected_text},
    db::domain::DomainRow,
    domain::domain_name::DomainName,
    http::{
        caller::api::{Caller, ChangingCaller},
        error::{Kind, Problem},
        operation::Operation,
        routes::Routes,
    },
    policy::action::{ReadOrganizations, UpdateOrganizations},
};

const PATH: &str = "/api/v1/organizations/{slug}/domains";

pub fn routes() -> Routes {
    Routes::chapter(
        "Domains",
        "An organization shows by a TXT record that a domain is its own. Several may claim one domain; one organization of the installation \
         has it verified.",
    )
    .document(
        Operation::get(PATH, "List the domains of an organization")
            .needs::<ReadOrganizations>()
            .answers::<DomainList>(StatusCode::OK, "All of them, with the records that verify them"),
        list,
    )
    .document(
        Operation::post(PATH, "Claim a domain")
            .about("The answer has the TXT record to publish. Claiming it again answers with the same record.")
            .needs::<UpdateOrganizations>()
            .takes::<New>()
            .answers::<Shown>(StatusCode::CREATED, "It is claimed")
            .answers::<Shown>(StatusCode::OK, "It was claimed already")
            .refuses(StatusCode::BAD_REQUEST, &["domain"])
            .refuses(StatusCode::CONFLICT, &["too_many_domains"]),
        claim,
    )
    .document(
        Operation::post("/api/v1/organizations/{slug}/domains/{domain}/verify", "Verify a domain")
            .about("Looks up the TXT record now.")
            .needs::<UpdateOrganizations>()
            .answers::<Shown>(StatusCode::OK, "It is verified")
            .refuses(StatusCode::CONFLICT, &["record_missing", "domain_taken"])
            .refuses(StatusCode::SERVICE_UNAVAILABLE, &["dns_unavailable"]),
        verify,
    )
    .document(
        Operation::delete("/api/v1/organizations/{slug}/domains/{domain}", "Give up a domain")
            .needs::<UpdateOrganizations>()
            .answers_nothing("It is given up"),
        remove,
    )
}

impl From<DomainError> for Problem {
    fn from(error: DomainError) -> Self {
        let detail = format!("{error}.");
        match error {
            DomainError::NotFound => Self::not_found(),
            DomainError::TooMany => Self::conflict("too_many_domains", detail),
            DomainError::NoRecord { .. } => Self::conflict("record_missing", detail),
            DomainError::Taken => Self::conflict("domain_taken", detail),
            DomainError::Db(error) => error.into(),
        }
    }
}

async fn list(caller: Caller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<ReadOrganizations>(&slug)?;
    let rows = domain::list(&grant, store(&caller)).await?;
    let body = DomainList { domains: rows.iter().map(Shown::of).collect() };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewDomain)]
#[serde(deny_unknown_fields)]
struct New {
    /// Such as `acme.example`; international names in either form.
    domain: String,
}

async fn claim(ChangingCaller(caller): ChangingCaller, Path(slug): Path<String>, body: Body) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<UpdateOrganizations>(&slug)?;
    let sent: New = body.read()?;
    let name = DomainName::parse(&sent.domain).map_err(|error| Problem::invalid("domain", format!("{error}.")).at("domain"))?;
    let (row, new) = domain::claim(&grant, store(&caller), &mut caller.occasion(), &name, caller.app.random.bytes()).await?;
    caller.committed();
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Shown::of(&row))).into_response())
}

/// The look-up may take seconds and stands before the transaction.
async fn verify(ChangingCaller(caller): ChangingCaller, Path((slug, domain)): Path<(String, String)>) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<UpdateOrganizations>(&slug)?;
    let name = DomainName::parse(&domain).map_err(|_| Problem::not_found())?;
    domain::find(&grant, store(&caller), &name).await?;
    let texts = caller.app.dns.texts(&name.challenge_name()).await.map_err(|error| {
        tracing::warn!(%error, "a domain could not be looked up");
        Problem::new(Kind::Unavailable, "dns_unavailable", format!("The record could not be looked up: {error}. Try again later."))
    })?;
    let row = domain::verify(&grant, store(&caller), &mut caller.occasion(), &name, texts).await?;
    caller.committed();
    Ok(Json(Shown::of(&row)).into_response())
}

async fn remove(ChangingCaller(caller): ChangingCaller, Path((slug, domain)): Path<(String, String)>) -> Result<Response, Problem> {
    let grant = caller.authorize_organization::<UpdateOrganizations>(&slug)?;
    let name = DomainName::parse(&domain).map_err(|_| Problem::not_found())?;
    domain::remove(&grant, store(&caller), &mut caller.occasion(), &name).await?;
    caller.committed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Serialize, ToSchema)]
struct DomainList {
    domains: Vec<Shown>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Domain)]
struct Shown {
    domain: String,
    verified: bool,
    verified_at: Option<Moment>,
    claimed_at: Moment,
    /// The TXT record to publish.
    record: Record,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DnsRecord)]
struct Record {
    /// Always `TXT`.
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    value: String,
}

impl Shown {
    fn of(row: &DomainRow) -> Self {
        let record = Record { kind: "TXT", name: format!("_rolegate-challenge.{}", row.domain), value: expected_text(row) };
        Self {
            domain: row.domain.clone(),
            verified: row.verified_at.is_some(),
            verified_at: row.verified_at.map(Moment),
            claimed_at: row.created_at.into(),
            record,
        }
    }
}
