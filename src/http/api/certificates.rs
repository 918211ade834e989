//! The certificates of a connection's identity provider. Looking takes `certificates.read`; adding and retiring are an owner's alone.

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
    admin::certificate::{self, RotationError},
    db::certificate::IdpCertificateRow,
    domain::id::CertificateId,
    http::{
        caller::session::{ChangingCaller, SessionCaller},
        error::Problem,
    },
    policy::action::{ReadCertificates, RotateCertificates},
    saml::Certificate,
};

impl From<RotationError> for Problem {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::NotFound => Self::not_found(),
            RotationError::LastOne => Self::conflict("last_certificate", format!("{error}.")),
            RotationError::InUse(_) => Self::conflict("certificate_in_use", format!("{error}.")),
            RotationError::Db(error) => error.into(),
        }
    }
}

pub async fn list(caller: SessionCaller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ReadCertificates>(&connection)?;
    let rows = certificate::list(&grant, caller.db(), &connection).await?;
    let body = json!({ "certificates": rows.iter().map(shown).collect::<Vec<_>>() });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCertificate {
    certificate: String,
}

/// The body is read after the right was asked for: who may not rotate learns nothing of what would be accepted.
pub async fn add(ChangingCaller(caller): ChangingCaller, Path(slug): Path<String>, body: Bytes) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<RotateCertificates>(&connection)?;
    let sent: NewCertificate = parse(&body)?;
    let new = Certificate::parse(&sent.certificate).map_err(|error| Problem::invalid("certificate", format!("certificate: {error}.")))?;
    let (row, added) = certificate::add(&grant, caller.db(), &mut caller.occasion(), &connection, &new).await?;
    caller.app.committed.notify_one();
    let status = if added { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(shown(&row))).into_response())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Retirement {
    /// Whoever asks was told what it may break.
    confirm: bool,
}

pub async fn retire(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<RotateCertificates>(&connection)?;
    let id = CertificateId::parse(&id).map_err(|_| Problem::not_found())?;
    let sent = if body.is_empty() { Retirement::default() } else { parse(&body)? };
    let row = certificate::retire(&grant, caller.db(), &mut caller.occasion(), &connection, id, sent.confirm).await?;
    caller.app.committed.notify_one();
    Ok(Json(shown(&row)).into_response())
}

fn shown(row: &IdpCertificateRow) -> Value {
    json!({
        "id": row.id,
        "state": row.state,
        "fingerprint_sha256": row.fingerprint,
        "subject": row.subject,
        "key": row.key_kind,
        "not_before": row.not_before.to_string(),
        "not_after": row.not_after.to_string(),
        "added_at": row.added_at.to_string(),
        "added_by": row.added_by,
        "retired_at": row.retired_at.map(|at| at.to_string()),
        "retired_by": row.retired_by,
        "first_used_at": row.first_used_at.map(|at| at.to_string()),
        "last_used_at": row.last_used_at.map(|at| at.to_string()),
    })
}
