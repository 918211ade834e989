//! The certificates of a connection's identity provider. Looking takes `certificates.read`; adding and retiring are an owner's alone.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    extract::{Body, Path},
    precondition::{IfMatch, etag},
    value::Moment,
};
use crate::{
    admin::certificate::{self, RotationError},
    db::certificate::{CertificateState, IdpCertificateRow},
    domain::id::{AccountId, CertificateId},
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::action::{ReadCertificates, RotateCertificates},
    saml::Certificate,
};

const PATH: &str = "/api/v1/connections/{slug}/certificates";

pub fn routes() -> Routes {
    Routes::chapter(
        "Certificates",
        "The certificates by which a connection's identity provider is believed. Changing them is an owner's alone. Their version is the connection's.",
    )
    .document(
        Operation::get(PATH, "List the certificates of a connection")
            .needs::<ReadCertificates>()
            .versioned()
            .answers::<CertificateList>(StatusCode::OK, "All of them, retired ones too, in the order of their adding"),
        list,
    )
    .document(
        Operation::post(PATH, "Trust a certificate")
            .about("A rotation has four steps: add the new one, both are trusted, watch which one is used, retire the old one.")
            .needs::<RotateCertificates>()
            .takes::<NewCertificate>()
            .versioned()
            .answers::<ShownCertificate>(StatusCode::CREATED, "It is trusted from now on")
            .answers::<ShownCertificate>(StatusCode::OK, "It was trusted already; nothing was written")
            .refuses(StatusCode::BAD_REQUEST, &["certificate"])
            .refuses(StatusCode::CONFLICT, &["too_many_certificates"]),
        add,
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/certificates/{id}/retire", "Trust a certificate no longer")
            .needs::<RotateCertificates>()
            .may_take::<Retirement>()
            .versioned()
            .answers::<ShownCertificate>(StatusCode::OK, "It is retired")
            .refuses(StatusCode::CONFLICT, &["last_certificate", "certificate_in_use"]),
        retire,
    )
}

impl From<RotationError> for Problem {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::NotFound => Self::not_found(),
            RotationError::LastOne => Self::conflict("last_certificate", format!("{error}.")),
            RotationError::InUse(_) => Self::conflict("certificate_in_use", format!("{error}.")),
            RotationError::TooMany(_) => Self::conflict("too_many_certificates", format!("{error}.")),
            RotationError::Stale => Self::stale(),
            RotationError::Db(error) => error.into(),
        }
    }
}

async fn list(caller: Caller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ReadCertificates>(&slug).await?;
    let rows = certificate::list(&grant, caller.db(), &connection).await?;
    let body = CertificateList { certificates: rows.iter().map(ShownCertificate::of).collect() };
    // Read before them: never a newer version than that of what is shown.
    Ok(([etag(connection.version)], [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCertificate {
    /// PEM, or the base64 of DER as metadata has it.
    certificate: String,
}

/// The body is read after the right was asked for: who may not rotate learns nothing of what would be accepted.
async fn add(
    ChangingCaller(caller): ChangingCaller,
    Path(slug): Path<String>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<RotateCertificates>(&slug).await?;
    let sent: NewCertificate = body.read()?;
    let new = Certificate::parse(&sent.certificate)
        .map_err(|error| Problem::invalid("certificate", format!("certificate: {error}.")).at("certificate"))?;
    let (row, added, version) = certificate::add(&grant, caller.db(), &mut caller.occasion(), &connection, &precondition, &new).await?;
    caller.committed();
    let status = if added { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [etag(version)], Json(ShownCertificate::of(&row))).into_response())
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct Retirement {
    /// Whoever asks was told what it may break.
    confirm: bool,
}

async fn retire(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, CertificateId)>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<RotateCertificates>(&slug).await?;
    let sent: Retirement = body.read_or_default()?;
    let (row, version) =
        certificate::retire(&grant, caller.db(), &mut caller.occasion(), &connection, &precondition, id, sent.confirm).await?;
    caller.committed();
    Ok(([etag(version)], Json(ShownCertificate::of(&row))).into_response())
}

#[derive(Serialize, ToSchema)]
struct CertificateList {
    certificates: Vec<ShownCertificate>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Certificate)]
struct ShownCertificate {
    id: CertificateId,
    /// `current`, `next` or `retired`.
    #[schema(value_type = String)]
    state: CertificateState,
    fingerprint_sha256: String,
    subject: String,
    /// Kind and size, such as `RSA 2048`.
    key: String,
    not_before: Moment,
    not_after: Moment,
    added_at: Moment,
    /// The account; null: the operator of the host, or a file.
    added_by: Option<AccountId>,
    retired_at: Option<Moment>,
    retired_by: Option<AccountId>,
    first_used_at: Option<Moment>,
    last_used_at: Option<Moment>,
}

impl ShownCertificate {
    fn of(row: &IdpCertificateRow) -> Self {
        Self {
            id: row.id,
            state: row.state,
            fingerprint_sha256: row.fingerprint.clone(),
            subject: row.subject.clone(),
            key: row.key_kind.clone(),
            not_before: row.not_before.into(),
            not_after: row.not_after.into(),
            added_at: row.added_at.into(),
            added_by: row.added_by,
            retired_at: row.retired_at.map(Moment),
            retired_by: row.retired_by,
            first_used_at: row.first_used_at.map(Moment),
            last_used_at: row.last_used_at.map(Moment),
        }
    }
}
