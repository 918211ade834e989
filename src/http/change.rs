//! From a decision to the database: begin, read what is published, change, commit, wake the jobs; again when somebody was in the way.

use std::time::Duration;

use tokio::time::Instant;

use super::{caller::ScimCaller, meter::Meter, queue::Busy, request::RequestId};
use crate::{
    app::App,
    db::{
        Tx,
        acting::{self, Writes},
    },
    domain::{
        actor::{Actor, Occasion},
        id::{ConnectionId, TenantId},
    },
    provision::{ProvisionError, Published, user::tell_of_claim},
};

/// How often the same work is tried when other requests are in its way.
const ATTEMPTS: u32 = 4;
/// What took so long waited for a lock: waiting as long again would keep others from the connection.
const PATIENCE: Duration = Duration::from_secs(4);

/// A change at a connection, as the core makes it inside a transaction. It can be made again from the start.
pub trait Change: Sync {
    type Outcome: Send;

    fn make(
        &self,
        tx: &mut Tx,
        published: &Published,
        occasion: &mut Occasion,
    ) -> impl Future<Output = Result<Self::Outcome, ProvisionError>> + Send;

    /// The resource that is changed, where there is one already: requests for the same one stand in a queue.
    fn resource(&self) -> Option<String> {
        None
    }

    /// Whether whoever asked is answered by what becomes of it. Where not, it is made again in parts when it is refused.
    fn is_final(&self) -> bool {
        true
    }
}

/// Whose change it is, and under which request.
#[derive(Debug, Clone)]
pub struct Author<'a> {
    pub tenant: TenantId,
    pub connection: ConnectionId,
    pub actor: &'a Actor,
    pub request_id: &'a RequestId,
    /// Where what was changed is counted.
    pub meter: &'a Meter,
}

/// Makes a change in a transaction of its own. A connection that vanished meanwhile is [`ProvisionError::NotFound`].
pub async fn commit<C: Change>(app: &App, author: &Author<'_>, change: &C) -> Result<C::Outcome, ProvisionError> {
    let began = Instant::now();
    let _turn = match change.resource() {
        Some(resource) => Some(app.queues.enter(resource).await.map_err(|Busy| ProvisionError::Again)?),
        None => None,
    };
    let mut attempt = 1;
    loop {
        match attempt_once(app, author, change).await {
            Err(ProvisionError::Again) if attempt < ATTEMPTS && began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(5 << attempt)).await;
                attempt += 1;
            }
            Err(ProvisionError::OwnersAccount(owner)) if change.is_final() => {
                let mut occasion = app.occasion(author.actor.clone(), author.request_id);
                tell_of_claim(&app.db, author.tenant, author.connection, &mut occasion, owner).await?;
                return Err(ProvisionError::OwnersAccount(owner));
            }
            outcome => return outcome,
        }
    }
}

async fn attempt_once<C: Change>(app: &App, author: &Author<'_>, change: &C) -> Result<C::Outcome, ProvisionError> {
    let mut occasion = app.occasion(author.actor.clone(), author.request_id);
    let mut tx = acting::begin(&app.db, author.tenant, &occasion, Writes::Accounts(&[])).await?;
    let published = app.published.read(&mut tx, author.tenant, author.connection).await?.ok_or(ProvisionError::NotFound)?;
    let outcome = change.make(&mut tx, &published, &mut occasion).await?;
    tx.commit().await?;
    author.meter.add(occasion.tally);
    app.committed.notify_one();
    Ok(outcome)
}

impl ScimCaller {
    /// Makes a change as this caller.
    pub(super) async fn commit<C: Change>(&self, change: &C) -> Result<C::Outcome, ProvisionError> {
        let author = Author {
            tenant: self.tenant,
            connection: self.connection,
            actor: &self.actor,
            request_id: &self.request_id,
            meter: &self.meter,
        };
        commit(&self.app, &author, change).await
    }
}
