//! The gateway's own keys of a connection. Looking takes `certificates.read`; making, switching and removing are an owner's alone. A
//! private key goes in and never comes out.

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
    admin::sp_key::{self, Sealing, SpKeyError},
    db::sp_key::SpKeyRow,
    domain::id::SpKeyId,
    http::{
        caller::session::{ChangingCaller, SessionCaller},
        error::Problem,
        work,
    },
    keys::pair::{self, Algorithm, SECONDS_OF_A_DAY, VALID_DAYS},
    policy::action::{ManageKeys, ReadCertificates},
    saml::{Certificate, KeyPair, KeyPairError},
};

impl From<SpKeyError> for Problem {
    fn from(error: SpKeyError) -> Self {
        let code = match error {
            SpKeyError::NotFound => return Self::not_found(),
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

pub async fn list(caller: SessionCaller, Path(slug): Path<String>) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ReadCertificates>(&connection)?;
    let rows = sp_key::list(&grant, caller.db(), &connection).await?;
    let body = json!({ "keys": rows.iter().map(shown).collect::<Vec<_>>() });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Either what is to be made, or what is brought.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    #[serde(default)]
    algorithm: Option<String>,
    #[serde(default)]
    valid_days: Option<i64>,
    #[serde(default)]
    private_key: Option<String>,
    #[serde(default)]
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
                let algorithm = algorithm.map_err(|error| Problem::invalid("algorithm", format!("algorithm: {error}.")))?;
                let valid_days = valid_days.unwrap_or(VALID_DAYS);
                if !(1..=pair::MOST_VALID_DAYS).contains(&valid_days) {
                    return Err(Problem::invalid("valid_days", format!("valid_days: 1 to {} was expected.", pair::MOST_VALID_DAYS)));
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
pub async fn add(ChangingCaller(caller): ChangingCaller, Path(slug): Path<String>, body: Bytes) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ManageKeys>(&connection)?;
    let wanted = if body.is_empty() { NewKey::none() } else { parse(&body)? }.read()?;
    let (now, serial) = (caller.app.now(), u64::from_be_bytes(caller.app.random.bytes()) >> 1);
    let name = connection.slug.to_string();
    let make = move || match wanted {
        Wanted::Made { algorithm, valid_days } => pair::generate(algorithm, &name, serial, now, valid_days * SECONDS_OF_A_DAY),
        Wanted::Brought { private_key, certificate } => KeyPair::from_pem(&private_key, &certificate),
    };
    let pair = work::run(&caller.app, make).await?.map_err(|error| refused(&error))?;
    let sealing = Sealing { keys: &caller.app.keys, nonce: caller.app.random.bytes() };
    let row = sp_key::add(&grant, caller.db(), &mut caller.occasion(), &connection, &sealing, &pair).await?;
    caller.app.committed.notify_one();
    Ok((StatusCode::CREATED, Json(shown(&row))).into_response())
}

fn refused(error: &KeyPairError) -> Problem {
    match error {
        KeyPairError::OpenSsl(_) => Problem::internal(error),
        KeyPairError::NotAKey | KeyPairError::Passphrase | KeyPairError::TooLong(_) => {
            Problem::invalid("private_key", format!("private_key: {error}."))
        }
        KeyPairError::Mismatch | KeyPairError::Certificate(_) => Problem::invalid("certificate", format!("certificate: {error}.")),
    }
}

impl NewKey {
    fn none() -> Self {
        Self { algorithm: None, valid_days: None, private_key: None, certificate: None }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Step {
    /// Whoever asks was told what it may break.
    confirm: bool,
}

fn confirmed(body: &Bytes) -> Result<bool, Problem> {
    if body.is_empty() { Ok(false) } else { parse::<Step>(body).map(|step| step.confirm) }
}

pub async fn activate(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ManageKeys>(&connection)?;
    let id = SpKeyId::parse(&id).map_err(|_| Problem::not_found())?;
    let confirmed = confirmed(&body)?;
    let row = sp_key::activate(&grant, caller.db(), &mut caller.occasion(), &connection, id, confirmed).await?;
    caller.app.committed.notify_one();
    Ok(Json(shown(&row)).into_response())
}

pub async fn retire(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ManageKeys>(&connection)?;
    let id = SpKeyId::parse(&id).map_err(|_| Problem::not_found())?;
    let confirmed = confirmed(&body)?;
    let row = sp_key::retire(&grant, caller.db(), &mut caller.occasion(), &connection, id, confirmed).await?;
    caller.app.committed.notify_one();
    Ok(Json(shown(&row)).into_response())
}

pub async fn remove(
    ChangingCaller(caller): ChangingCaller,
    Path((slug, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Problem> {
    let connection = caller.connection(&slug).await?;
    let grant = caller.authorize::<ManageKeys>(&connection)?;
    let id = SpKeyId::parse(&id).map_err(|_| Problem::not_found())?;
    let confirmed = confirmed(&body)?;
    sp_key::remove(&grant, caller.db(), &mut caller.occasion(), &connection, id, confirmed).await?;
    caller.app.committed.notify_one();
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn shown(row: &SpKeyRow) -> Value {
    let certificate = Certificate::from_der(&row.certificate_der).map(|certificate| certificate.to_pem()).ok();
    json!({
        "id": row.id,
        "state": row.state,
        "fingerprint_sha256": row.fingerprint,
        "subject": row.subject,
        "key": row.key_kind,
        "certificate": certificate,
        "not_before": row.not_before.to_string(),
        "not_after": row.not_after.to_string(),
        "added_at": row.added_at.to_string(),
        "added_by": row.added_by,
        "current_since": row.current_since.map(|at| at.to_string()),
        "retired_at": row.retired_at.map(|at| at.to_string()),
        "retired_by": row.retired_by,
        "last_decrypted_at": row.last_decrypted_at.map(|at| at.to_string()),
    })
}
