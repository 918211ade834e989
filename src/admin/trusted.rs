//! The certificates that a connection trusts, read once for each version of it: every change of them raises that version.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    db::{DbError, Target, certificate, certificate::CertificateState},
    domain::{connection::Connection, id::ConnectionId},
    saml::{Certificate, IdpCertificate},
};

type Kept = (i64, Arc<[IdpCertificate]>);

#[derive(Debug, Clone, Default)]
pub struct TrustedCache(Arc<RwLock<HashMap<ConnectionId, Kept>>>);

impl TrustedCache {
    /// Current and next ones alike: both are trusted until one is retired.
    pub async fn read(&self, source: impl Into<Target<'_>>, connection: &Connection) -> Result<Arc<[IdpCertificate]>, DbError> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&connection.id).cloned();
        if let Some((version, certificates)) = kept
            && version == connection.version
        {
            return Ok(certificates);
        }
        let rows = certificate::list_certificates(source, connection.tenant, connection.id).await?;
        let trusted = rows.into_iter().filter(|row| row.state != CertificateState::Retired);
        let certificates = trusted
            .map(|row| {
                let certificate = Certificate::from_der(&row.der).map_err(|error| DbError::corrupt("a certificate", &error))?;
                Ok(IdpCertificate { id: row.id, certificate })
            })
            .collect::<Result<Arc<[_]>, DbError>>()?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(connection.id, (connection.version, certificates.clone()));
        Ok(certificates)
    }
}
