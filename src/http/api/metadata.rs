//! The metadata of a connection's identity provider. Looking takes `certificates.read`; importing and deciding are an owner's alone.

use axum::{
    Json,
    body::Bytes,
    extract::Path,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::parse;
use crate::{
    admin::metadata::{
        self, MetadataError, Source,
        reading::{self, ReadingError},
    },
    db::idp_metadata::{MetadataRow, ProposalRow, What},
    domain::id::EventId,
    http::{
        caller::session::{ChangingCaller, SessionCaller},
        error::Problem,
    },
    policy::action::{ReadCertificates, UpdateMetadata},
    saml::Certificate,
};

impl From<MetadataError> for Problem {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::NotFound => Self::not_found(),
            MetadataError::OtherIdentityProvider { .. } => Self::conflict("other_identity_provider", format!("{error}.")),
            MetadataError::Expired(_) | MetadataError::AutoTrustWithoutUrl => Self::invalid("metadata", format!("{error}.")),
            MetadataError::Unreadable(error) => Self::invalid("metadata", format!("{}.", reading::words(&error))),
            MetadataError::Meanwhile => Self::unavailable(format!("{error}.")),
            MetadataError::Db(error) => error.into(),
        }
    }
}

impl From<ReadingError> for Problem {
    fn from(error: ReadingError) -> Self {
        match error {
            ReadingError::Address(_) | ReadingError::Outbound(_) => Self::invalid("url", format!("url: {error}.")),
            ReadingError::Unreadable(_) => Self::invalid("metadata", format!("{}.", error.words())),
            ReadingError::Broken(error) => Self::internal(&error),
        }
    }
}

pub async fn get(caller: SessionCaller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ReadCertificates>(&connection)?;
    let (row, proposals) = metadata::show(&grant, caller.db(), &connection).await?;
    let saml = &connection.saml;
    let body = json!({
        "entity_id": saml.idp_entity_id,
        "sso_url": saml.sso_url,
        "slo_redirect_url": saml.slo_redirect_url,
        "slo_post_url": saml.slo_post_url,
        "source": row.as_ref().map(source_shown),
        "proposals": proposals.iter().map(proposal_shown).collect::<Vec<_>>(),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Import {
    /// The document itself.
    xml: Option<String>,
    /// Or where it is, to be read again from there.
    url: Option<String>,
    #[serde(default)]
    auto_trust: bool,
    #[serde(default)]
    confirm: bool,
}

pub async fn put(ChangingCaller(caller): ChangingCaller, Path(slug): Path<String>, body: Bytes) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<UpdateMetadata>(&connection)?;
    let sent: Import = parse(&body)?;
    let (document, url) = match (sent.xml, sent.url) {
        (Some(xml), None) => (reading::parse(xml.into_bytes()).await?, None),
        (None, Some(url)) => (reading::fetch(&caller.app.outbound, &url).await?, Some(url)),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::invalid("body", "Send either xml, the document itself, or url, where it is."));
        }
    };
    let source = Source { url: url.as_deref(), auto_trust: sent.auto_trust, confirmed: sent.confirm };
    let changes = metadata::import(&grant, caller.db(), &mut caller.occasion(), &connection, &document, source).await?;
    caller.app.committed.notify_one();
    Ok(Json(json!({ "changes": changes })).into_response())
}

pub async fn refresh(ChangingCaller(caller): ChangingCaller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<UpdateMetadata>(&connection)?;
    let source = metadata::find_source(&grant, caller.db(), &connection).await?;
    let source = source.ok_or_else(|| {
        Problem::conflict("no_url", "The metadata of this connection was uploaded: import it with a url to have it read again.")
    })?;
    let changes = reading::read(caller.db(), &caller.app.outbound, &source, &mut caller.occasion()).await?;
    caller.app.committed.notify_one();
    match changes {
        Ok(changes) => Ok(Json(json!({ "changes": changes })).into_response()),
        Err(why) => Err(Problem::conflict("unreadable", format!("{why}."))),
    }
}

pub async fn accept(ChangingCaller(caller): ChangingCaller, Path((slug, id)): Path<(String, String)>) -> Result<Response, Problem> {
    decide(&caller, &slug, &id, true).await
}

pub async fn decline(ChangingCaller(caller): ChangingCaller, Path((slug, id)): Path<(String, String)>) -> Result<Response, Problem> {
    decide(&caller, &slug, &id, false).await
}

async fn decide(caller: &SessionCaller, slug: &str, id: &str, accepted: bool) -> Result<Response, Problem> {
    let connection = caller.connection(slug).await?;
    let grant = caller.authorize::<UpdateMetadata>(&connection)?;
    let id = EventId::parse(id).map_err(|_| Problem::not_found())?;
    let row = metadata::decide(&grant, caller.db(), &mut caller.occasion(), &connection, id, accepted).await?;
    caller.app.committed.notify_one();
    Ok(Json(proposal_shown(&row)).into_response())
}

fn source_shown(row: &MetadataRow) -> Value {
    json!({
        "url": row.url,
        "auto_trust": row.auto_trust,
        "set_by": row.set_by,
        "set_at": row.set_at.to_string(),
        "read_at": row.read_at.map(|at| at.to_string()),
        "valid_until": row.valid_until.map(|at| at.to_string()),
        "next_reading_at": row.due_at.map(|at| at.to_string()),
        "failures": row.failures,
        "last_error": row.last_error,
    })
}

fn proposal_shown(row: &ProposalRow) -> Value {
    let certificate = (row.what == What::Certificate).then(|| Certificate::parse(&row.value).ok()).flatten();
    json!({
        "id": row.id,
        "what": row.what,
        "state": row.state,
        "fingerprint_sha256": certificate.as_ref().map(|_| &row.key),
        "subject": certificate.as_ref().map(Certificate::subject),
        "not_before": certificate.as_ref().map(|certificate| certificate.not_before().to_string()),
        "not_after": certificate.as_ref().map(|certificate| certificate.not_after().to_string()),
        "address": (row.what != What::Certificate).then_some(&row.key),
        "proposed_at": row.proposed_at.to_string(),
        "decided_by": row.decided_by,
        "decided_at": row.decided_at.map(|at| at.to_string()),
    })
}
