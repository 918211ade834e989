//! The gateway's own keys of a connection, opened once for each version of it: every change of them raises that version.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    db::{
        Db, DbError, installation, sp_key,
        sp_key::{SpKeyRow, SpKeyState},
    },
    domain::{connection::Connection, id::ConnectionId},
    keys::{Keys, pair::KeyPlace},
    saml::{Certificate, DecryptionKey, KeyPair},
};

/// What a connection signs and decrypts with.
#[derive(Debug, Default)]
pub struct OwnKeys {
    /// The current one.
    pub signing: Option<KeyPair>,
    /// What the metadata names: the current one's, then the next one's.
    pub published: Vec<Certificate>,
    /// Those that can decrypt: the current one, the next one, retired ones from the latest on.
    pub decrypting: Vec<DecryptionKey>,
}

#[derive(Debug, thiserror::Error)]
pub enum OwnKeysError {
    #[error("the master key was changed while this node runs: restart it with the new one")]
    OtherMasterKey,
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Whether the database still belongs to the master key that this node was started with.
pub async fn are_current(db: &Db, keys: &Keys) -> Result<bool, DbError> {
    Ok(installation::find_key_check(db).await?.is_none_or(|check| keys.gives(&check)))
}

/// With the version of the connection for which they were read.
type Kept = (i64, Arc<OwnKeys>);

#[derive(Debug, Clone, Default)]
pub struct OwnKeysCache(Arc<RwLock<HashMap<ConnectionId, Kept>>>);

impl OwnKeysCache {
    pub async fn read(&self, db: &Db, keys: &Keys, connection: &Connection) -> Result<Arc<OwnKeys>, OwnKeysError> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&connection.id).cloned();
        if let Some((version, own)) = kept
            && version == connection.version
        {
            return Ok(own);
        }
        let rows = sp_key::list_sp_keys(db, connection.tenant, connection.id).await?;
        let own = match open(rows, keys, connection)? {
            Some(own) => Arc::new(own),
            None if are_current(db, keys).await? => return Err(DbError::corrupt("a private key", "it cannot be opened").into()),
            None => return Err(OwnKeysError::OtherMasterKey),
        };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(connection.id, (connection.version, own.clone()));
        Ok(own)
    }
}

/// `None` when one of them cannot be opened with this master key.
fn open(mut rows: Vec<SpKeyRow>, keys: &Keys, connection: &Connection) -> Result<Option<OwnKeys>, DbError> {
    let rank = |state| match state {
        SpKeyState::Current => 0,
        SpKeyState::Next => 1,
        SpKeyState::Retired => 2,
    };
    rows.sort_by_key(|row| (rank(row.state), std::cmp::Reverse(row.id)));
    let mut own = OwnKeys::default();
    for row in rows {
        let certificate = Certificate::from_der(&row.certificate_der).map_err(|error| DbError::corrupt("a key's certificate", &error))?;
        let place = KeyPlace { tenant: connection.tenant, connection: connection.id, id: row.id };
        let Some(pair) = keys.open_private_key(place, &row.sealed, certificate.clone()) else { return Ok(None) };
        match row.state {
            SpKeyState::Current => own.signing = Some(pair.clone()),
            SpKeyState::Next | SpKeyState::Retired => {}
        }
        if row.state != SpKeyState::Retired {
            own.published.push(certificate);
        }
        own.decrypting.extend(DecryptionKey::of(row.id, &pair));
    }
    Ok(Some(own))
}
