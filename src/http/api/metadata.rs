//! The metadata of a connection's identity provider. Looking takes `certificates.read`; importing and deciding are an owner's alone.

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
    admin::metadata::{
        self, Changes, MetadataError, Source,
        reading::{self, ReadingError},
    },
    db::idp_metadata::{MetadataRow, ProposalRow, ProposalState, What},
    domain::id::{AccountId, EventId},
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
    },
    policy::action::{ReadCertificates, UpdateMetadata},
    provision::Precondition,
    saml::Certificate,
};

const PATH: &str = "/api/v1/connections/{slug}/metadata";

pub fn routes() -> Routes {
    Routes::chapter(
        "Metadata",
        "The metadata of a connection's identity provider: imported by owners, read again from its address, and never a reason to drop a certificate. Its version is the connection's.",
    )
    .document(
        Operation::get(PATH, "Look where the metadata comes from, and what it brought")
            .needs::<ReadCertificates>()
            .versioned()
            .answers::<ShownMetadata>(StatusCode::OK, "Entity ID, addresses, source and proposals"),
        get,
    )
    .document(
        Operation::put(PATH, "Import metadata")
            .about("Takes over entity ID, addresses and certificates, but for those that were retired here or have expired: they are named. With `url` the address is read again as often as the document says, at least daily; what is new then is proposed, or taken over where `auto_trust` says so.")
            .needs::<UpdateMetadata>()
            .takes::<Import>()
            .versioned()
            .answers::<ImportedMetadata>(StatusCode::OK, "What it changed")
            .refuses(StatusCode::BAD_REQUEST, &["metadata", "url"])
            .refuses(StatusCode::CONFLICT, &["other_identity_provider", "too_many_certificates"]),
        put,
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/metadata/refresh", "Read the address now")
            .needs::<UpdateMetadata>()
            .answers::<ImportedMetadata>(StatusCode::OK, "What it changed or proposed")
            .refuses(StatusCode::CONFLICT, &["no_url", "unreadable"]),
        refresh,
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/metadata/proposals/{id}/accept", "Take over what a reading proposed")
            .needs::<UpdateMetadata>()
            .versioned()
            .answers::<ShownProposal>(StatusCode::OK, "It is taken over")
            .refuses(StatusCode::CONFLICT, &["too_many_certificates"]),
        accept,
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/metadata/proposals/{id}/decline", "Decline what a reading proposed")
            .about("It is not proposed again.")
            .needs::<UpdateMetadata>()
            .versioned()
            .answers::<ShownProposal>(StatusCode::OK, "It is declined"),
        decline,
    )
}

impl From<MetadataError> for Problem {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::NotFound => Self::not_found(),
            MetadataError::OtherIdentityProvider { .. } => Self::conflict("other_identity_provider", format!("{error}.")),
            MetadataError::Expired(_) | MetadataError::AutoTrustWithoutUrl => Self::invalid("metadata", format!("{error}.")),
            MetadataError::Unreadable(error) => Self::invalid("metadata", format!("{}.", reading::words(&error))),
            MetadataError::TooMany(_) => Self::conflict("too_many_certificates", format!("{error}.")),
            MetadataError::Stale => Self::stale(),
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

async fn get(caller: Caller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ReadCertificates>(&slug).await?;
    // Read before them: never a newer version than that of what is shown.
    let version = connection.version;
    let (row, proposals) = metadata::show(&grant, caller.db(), &connection).await?;
    let saml = connection.saml;
    let body = ShownMetadata {
        entity_id: saml.idp_entity_id,
        sso_url: saml.sso_url,
        sso_post_url: saml.sso_post_url,
        slo_redirect_url: saml.slo_redirect_url,
        slo_post_url: saml.slo_post_url,
        source: row.map(ShownSource::of),
        proposals: proposals.into_iter().map(ShownProposal::of).collect(),
    };
    Ok(([etag(version)], [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Either the document or where it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMetadata)]
struct Import {
    /// The document itself.
    xml: Option<String>,
    /// Or where it is, to be read again from there: https, in a public network.
    url: Option<String>,
    /// Certificates and addresses that the address brings later are taken over without being asked.
    #[serde(default)]
    auto_trust: bool,
    /// Whoever asks was told that the document is of another identity provider.
    #[serde(default)]
    confirm: bool,
}

async fn put(
    ChangingCaller(caller): ChangingCaller,
    Path(slug): Path<String>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<UpdateMetadata>(&slug).await?;
    let sent: Import = body.read()?;
    let (document, url) = match (sent.xml, sent.url) {
        (Some(xml), None) => (reading::parse(xml.into_bytes()).await?, None),
        (None, Some(url)) => (reading::fetch(&caller.app.outbound, &url).await?, Some(url)),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::invalid("body", "Send either xml, the document itself, or url, where it is."));
        }
    };
    let source = Source { url: url.as_deref(), auto_trust: sent.auto_trust, confirmed: sent.confirm };
    let (changes, version) =
        metadata::import(&grant, caller.db(), &mut caller.occasion(), &connection, &precondition, &document, source).await?;
    caller.committed();
    Ok(([etag(version)], Json(ImportedMetadata { changes })).into_response())
}

async fn refresh(ChangingCaller(caller): ChangingCaller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<UpdateMetadata>(&slug).await?;
    let source = metadata::find_source(&grant, caller.db(), &connection).await?;
    let source = source.ok_or_else(|| {
        Problem::conflict("no_url", "The metadata of this connection was uploaded: import it with a url to have it read again.")
    })?;
    let changes = reading::read(caller.db(), &caller.app.outbound, &source, &mut caller.occasion()).await?;
    caller.committed();
    match changes {
        Ok(changes) => Ok(Json(ImportedMetadata { changes }).into_response()),
        Err(why) => Err(Problem::conflict("unreadable", format!("{why}."))),
    }
}

async fn accept(
    ChangingCaller(caller): ChangingCaller,
    Path(named): Path<(String, EventId)>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    decide(&caller, named, &precondition, true).await
}

async fn decline(
    ChangingCaller(caller): ChangingCaller,
    Path(named): Path<(String, EventId)>,
    IfMatch(precondition): IfMatch,
) -> Result<Response, Problem> {
    decide(&caller, named, &precondition, false).await
}

async fn decide(caller: &Caller, (slug, id): (String, EventId), precondition: &Precondition, accepted: bool) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<UpdateMetadata>(&slug).await?;
    let (row, version) = metadata::decide(&grant, caller.db(), &mut caller.occasion(), &connection, precondition, id, accepted).await?;
    caller.committed();
    Ok(([etag(version)], Json(ShownProposal::of(row))).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = Metadata)]
struct ShownMetadata {
    entity_id: String,
    /// Where AuthnRequests go by redirect.
    sso_url: Option<String>,
    sso_post_url: Option<String>,
    slo_redirect_url: Option<String>,
    slo_post_url: Option<String>,
    /// Null while it came with the tenant's file alone.
    source: Option<ShownSource>,
    proposals: Vec<ShownProposal>,
}

#[derive(Serialize, ToSchema)]
struct ImportedMetadata {
    #[schema(value_type = Object)]
    changes: Changes,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MetadataSource)]
struct ShownSource {
    /// Null: it was uploaded.
    url: Option<String>,
    auto_trust: bool,
    set_by: Option<AccountId>,
    set_at: Moment,
    read_at: Option<Moment>,
    valid_until: Option<Moment>,
    next_reading_at: Option<Moment>,
    /// In a row.
    failures: i64,
    last_error: Option<String>,
}

impl ShownSource {
    fn of(row: MetadataRow) -> Self {
        Self {
            url: row.url,
            auto_trust: row.auto_trust,
            set_by: row.set_by,
            set_at: row.set_at.into(),
            read_at: row.read_at.map(Into::into),
            valid_until: row.valid_until.map(Into::into),
            next_reading_at: row.due_at.map(Into::into),
            failures: row.failures,
            last_error: row.last_error,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = MetadataProposal)]
struct ShownProposal {
    id: EventId,
    /// `certificate`, `signed_requests`, or which address: `sso_url`, `sso_post_url`, `slo_redirect_url`, `slo_post_url`.
    #[schema(value_type = String)]
    what: What,
    /// `open`, `accepted`, `declined`, or `withdrawn`: the metadata says it no more.
    #[schema(value_type = String)]
    state: ProposalState,
    fingerprint_sha256: Option<String>,
    subject: Option<String>,
    not_before: Option<Moment>,
    not_after: Option<Moment>,
    address: Option<String>,
    /// Whether the identity provider wants AuthnRequests signed.
    signed_requests: Option<bool>,
    proposed_at: Moment,
    decided_by: Option<AccountId>,
    decided_at: Option<Moment>,
}

impl ShownProposal {
    fn of(row: ProposalRow) -> Self {
        let certificate = (row.what == What::Certificate).then(|| Certificate::parse(&row.value).ok()).flatten();
        Self {
            id: row.id,
            what: row.what,
            state: row.state,
            fingerprint_sha256: certificate.as_ref().map(|_| row.key.clone()),
            subject: certificate.as_ref().map(|certificate| certificate.subject().to_owned()),
            not_before: certificate.as_ref().map(|certificate| certificate.not_before().into()),
            not_after: certificate.as_ref().map(|certificate| certificate.not_after().into()),
            signed_requests: (row.what == What::SignedRequests).then(|| row.key == "true"),
            address: row.what.is_address().then_some(row.key),
            proposed_at: row.proposed_at.into(),
            decided_by: row.decided_by,
            decided_at: row.decided_at.map(Into::into),
        }
    }
}
