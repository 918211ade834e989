//! The gateway's own keys of a connection. Looking takes `certificates.read`; making, switching and removing are an owner's alone. A
//! private key goes in and never comes out.

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
    admin::sp_key::{self, Sealing, SpKeyError},
    db::sp_key::{SpKeyRow, SpKeyState},
    domain::id::{AccountId, SpKeyId},
    http::{
        caller::api::{Caller, ChangingCaller},
        error::Problem,
        operation::Operation,
        routes::Routes,
        work,
    },
    keys::pair::{self, Algorithm, SECONDS_OF_A_DAY, VALID_DAYS},
    policy::action::{ManageKeys, ReadCertificates},
    saml::{Certificate, KeyPair, KeyPairError},
};

const PATH: &str = "/api/v1/connections/{slug}/keys";

pub fn routes() -> Routes {
    Routes::chapter(
        "Keys",
        "The gateway's own key pairs of a connection: what it signs with, and what assertions are encrypted for. Changing them is an owner's alone. Their version is the connection's.",
    )
    .document(
        Operation::get(PATH, "List the keys of a connection")
            .needs::<ReadCertificates>()
            .versioned()
            .answers::<KeyList>(StatusCode::OK, "All of them, in the order of their adding"),
        list,
    )
    .document(
        Operation::post(PATH, "Make or import a key pair")
            .about("The first signs at once; a further one is published in the metadata as the next. A rotation has five steps: publish the next key, let the identity provider load the metadata, switch signing to it, go on decrypting with the old one, remove that.")
            .needs::<ManageKeys>()
            .may_take::<NewKey>()
            .versioned()
            .answers::<ShownKey>(StatusCode::CREATED, "It is in the metadata")
            .refuses(StatusCode::BAD_REQUEST, &["private_key", "certificate", "algorithm", "valid_days"])
            .refuses(StatusCode::CONFLICT, &["key_known", "next_key_exists", "too_many_keys"]),
        add,
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/keys/{id}/activate", "Switch signing to the next key")
            .about("The key that signed so far is retired: it leaves the metadata and goes on decrypting.")
            .needs::<ManageKeys>()
            .may_take::<Step>()
            .versioned()
            .answers::<ShownKey>(StatusCode::OK, "It signs")
            .refuses(StatusCode::CONFLICT, &["key_not_next", "key_not_taken_in"]),
        activate,
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/keys/{id}/retire", "Take a key out of the metadata")
            .about("It goes on decrypting until it is removed.")
            .needs::<ManageKeys>()
            .may_take::<Step>()
            .versioned()
            .answers::<ShownKey>(StatusCode::OK, "It is retired")
            .refuses(StatusCode::CONFLICT, &["key_signs"]),
        retire,
    )
    .document(
        Operation::post("/api/v1/connections/{slug}/keys/{id}/remove", "Destroy a retired key")
            .about("What is encrypted for it can be read no more.")
            .needs::<ManageKeys>()
            .may_take::<Step>()
            .versioned()
            .answers_nothing("It is gone")
            .refuses(StatusCode::CONFLICT, &["key_not_retired", "key_in_use"]),
        remove,
    )
}

impl From<SpKeyError> for Problem {
    fn from(error: SpKeyError) -> Self {
        let code = match error {
            SpKeyError::NotFound => return Self::not_found(),
            SpKeyError::Stale => return Self::stale(),
            SpKeyError::Db(error) => return error.into(),
            SpKeyError::OtherMasterKey => return Self::unavailable(format!("{error}.")),
            SpKeyError::Known => "key_known",
            SpKeyError::NextExists(_) => "next_key_exists",
            SpKeyError::TooMany => "too_many_keys",
            SpKeyError::NotNext(_) => "key_not_next",
            SpKeyError::NotTakenIn(_) => "key_not_taken_in",
            SpKeyError::Signs => "key_signs",
            SpKeyError::NotRetired => "key_not_retired",
            SpKeyError::InUse(_) => "key_in_use",
        };
        Self::conflict(code, format!("{error}."))
    }
}

async fn list(caller: Caller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ReadCertificates>(&slug).await?;
    let rows = sp_key::list(&grant, caller.db(), &connection).await?;
    let body = KeyList { keys: rows.iter().map(ShownKey::of).collect() };
    // Read before them: never a newer version than that of what is shown.
    Ok(([etag(connection.version)], [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Either what is to be made, or what is brought; nothing at all has a key made.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct NewKey {
    /// `rsa-3072` (signs and decrypts; the default) or `ec-p256` (only signs).
    algorithm: Option<String>,
    /// How long the certificate of a key that is made counts: 1 to 3650, 1095 unless it is said.
    valid_days: Option<i64>,
    /// To import: PEM without a passphrase. It never comes out again.
    private_key: Option<String>,
    /// To import: PEM.
    certificate: Option<String>,
}

enum Wanted {
    Made { algorithm: Algorithm, valid_days: i64 },
    Brought { private_key: String, certificate: String },
}

impl NewKey {
    fn read(self) -> Result<Wanted, Problem> {
        match self {
            Self { private_key: Some(private_key), certificate: Some(certificate), algorithm: None, valid_days: None } => {
                Ok(Wanted::Brought { private_key, certificate })
            }
            Self { private_key: None, certificate: None, algorithm, valid_days } => {
                let algorithm = algorithm.as_deref().map_or(Ok(Algorithm::default()), str::parse);
                let algorithm = algorithm.map_err(|error| Problem::invalid("algorithm", format!("algorithm: {error}.")).at("algorithm"))?;
                let valid_days = valid_days.unwrap_or(VALID_DAYS);
                if !(1..=pair::MOST_VALID_DAYS).contains(&valid_days) {
                    let words = format!("valid_days: 1 to {} was expected.", pair::MOST_VALID_DAYS);
                    return Err(Problem::invalid("valid_days", words).at("valid_days"));
                }
                Ok(Wanted::Made { algorithm, valid_days })
            }
            _ => Err(Problem::invalid(
                "body",
                "Either private_key and certificate (both PEM) are sent, to import them, or algorithm and valid_days, or nothing, to have a key made.",
            )),
        }
    }
}

/// The body is read after the right was asked for.
async fn add(
    ChangingCaller(caller): ChangingCaller,
    Path(slug): Path<String>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ManageKeys>(&slug).await?;
    let sent: NewKey = body.read_or_default()?;
    let wanted = sent.read()?;
    let (now, serial) = (caller.app.now(), u64::from_be_bytes(caller.app.random.bytes()) >> 1);
    let name = connection.slug.to_string();
    let make = move || match wanted {
        Wanted::Made { algorithm, valid_days } => pair::generate(algorithm, &name, serial, now, valid_days * SECONDS_OF_A_DAY),
        Wanted::Brought { private_key, certificate } => KeyPair::from_pem(&private_key, &certificate),
    };
    let pair = work::run(&caller.app, make).await?.map_err(|error| refused(&error))?;
    let sealing = Sealing { keys: &caller.app.keys, nonce: caller.app.random.bytes() };
    let (row, version) = sp_key::add(&grant, caller.db(), &mut caller.occasion(), &connection, &precondition, &sealing, &pair).await?;
    caller.committed();
    Ok((StatusCode::CREATED, [etag(version)], Json(ShownKey::of(&row))).into_response())
}

fn refused(error: &KeyPairError) -> Problem {
    match error {
        KeyPairError::OpenSsl(_) => Problem::internal(error),
        KeyPairError::NotAKey | KeyPairError::Passphrase | KeyPairError::TooLong(_) => {
            Problem::invalid("private_key", format!("private_key: {error}.")).at("private_key")
        }
        KeyPairError::Mismatch | KeyPairError::Certificate(_) => {
            Problem::invalid("certificate", format!("certificate: {error}.")).at("certificate")
        }
    }
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = KeyStep)]
#[serde(deny_unknown_fields, default)]
struct Step {
    /// Whoever asks was told what it may break.
    confirm: bool,
}

async fn activate(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, SpKeyId)>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ManageKeys>(&slug).await?;
    let sent: Step = body.read_or_default()?;
    let (row, version) =
        sp_key::activate(&grant, caller.db(), &mut caller.occasion(), &connection, &precondition, id, sent.confirm).await?;
    caller.committed();
    Ok(([etag(version)], Json(ShownKey::of(&row))).into_response())
}

async fn retire(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, SpKeyId)>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ManageKeys>(&slug).await?;
    let sent: Step = body.read_or_default()?;
    let (row, version) = sp_key::retire(&grant, caller.db(), &mut caller.occasion(), &connection, &precondition, id, sent.confirm).await?;
    caller.committed();
    Ok(([etag(version)], Json(ShownKey::of(&row))).into_response())
}

async fn remove(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, SpKeyId)>,
    IfMatch(precondition): IfMatch,
    body: Body,
) -> Result<Response, Problem> {
    let (connection, grant) = caller.authorize_connection::<ManageKeys>(&slug).await?;
    let sent: Step = body.read_or_default()?;
    let version = sp_key::remove(&grant, caller.db(), &mut caller.occasion(), &connection, &precondition, id, sent.confirm).await?;
    caller.committed();
    Ok((StatusCode::NO_CONTENT, [etag(version)]).into_response())
}

#[derive(Serialize, ToSchema)]
struct KeyList {
    keys: Vec<ShownKey>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
struct ShownKey {
    id: SpKeyId,
    /// `next`, `current` or `retired`.
    #[schema(value_type = String)]
    state: SpKeyState,
    fingerprint_sha256: String,
    subject: String,
    /// Kind and size, such as `RSA 3072`.
    key: String,
    /// PEM, for identity providers that want it by hand.
    certificate: Option<String>,
    not_before: Moment,
    not_after: Moment,
    added_at: Moment,
    /// The account; null: the operator of the host.
    added_by: Option<AccountId>,
    current_since: Option<Moment>,
    retired_at: Option<Moment>,
    retired_by: Option<AccountId>,
    last_decrypted_at: Option<Moment>,
}

impl ShownKey {
    fn of(row: &SpKeyRow) -> Self {
        Self {
            id: row.id,
            state: row.state,
            fingerprint_sha256: row.fingerprint.clone(),
            subject: row.subject.clone(),
            key: row.key_kind.clone(),
            certificate: Certificate::from_der(&row.certificate_der).map(|certificate| certificate.to_pem()).ok(),
            not_before: row.not_before.into(),
            not_after: row.not_after.into(),
            added_at: row.added_at.into(),
            added_by: row.added_by,
            current_since: row.current_since.map(Moment),
            retired_at: row.retired_at.map(Moment),
            retired_by: row.retired_by,
            last_decrypted_at: row.last_decrypted_at.map(Moment),
        }
    }
}
