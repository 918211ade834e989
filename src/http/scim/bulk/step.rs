//! Operations of a bulk request, done one after the other in the transaction that they are given.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{
    db::Tx,
    domain::{actor::Occasion, id::Id},
    http::{
        caller::ScimCaller,
        change::Change,
        scim::conditional::{etag, precondition},
    },
    provision::{ProvisionError, Published, group, user},
    scim::{
        bulk::{Bulk, Endpoint, Made, Method, Operation, Step},
        error::ScimError,
        group::Group,
        patch::Patch,
        resource::User,
    },
};

pub struct Steps<'a> {
    pub caller: &'a ScimCaller,
    pub bulk: &'a Bulk,
    pub todo: &'a [Step],
    /// What earlier operations made.
    pub made: &'a Made,
}

/// What one of them did.
pub struct Done {
    pub location: String,
    pub version: Option<String>,
}

impl Change for Steps<'_> {
    type Outcome = (Vec<Done>, Made);

    async fn make(&self, tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<Self::Outcome, ProvisionError> {
        let mut made = self.made.clone();
        let mut done = Vec::with_capacity(self.todo.len());
        // What was to be created together and cannot be; it is not asked again.
        let mut singly = 0_usize;
        while let Some(step) = self.todo.get(done.len()) {
            if singly == 0 {
                match self.create_users(tx, published, occasion, &self.todo[done.len()..], &mut made).await? {
                    Together::Done(created) => {
                        done.extend(created);
                        continue;
                    }
                    Together::Singly(steps) => singly = steps,
                }
            }
            done.push(self.step(tx, published, occasion, step, &mut made).await?);
            singly = singly.saturating_sub(1);
        }
        Ok((done, made))
    }

    /// Several are done one by one when one of them is refused.
    fn is_final(&self) -> bool {
        self.todo.len() == 1
    }
}

/// What became of the new users at the head of the operations.
enum Together {
    Done(Vec<Done>),
    /// So many, and the operation after them when there are none, are done one by one.
    Singly(usize),
}

/// An operation, ready to be done.
struct Ready<'a> {
    method: Method,
    operation: &'a Operation,
    id: Option<String>,
    data: Map<String, Value>,
}

impl Steps<'_> {
    async fn step(
        &self,
        tx: &mut Tx,
        published: &Published,
        occasion: &mut Occasion,
        step: &Step,
        made: &mut Made,
    ) -> Result<Done, ProvisionError> {
        let ready = self.ready(step, made)?;
        let (id, version) = match ready.operation.endpoint {
            Endpoint::Users => self.user(tx, published, occasion, &ready).await?,
            Endpoint::Groups => self.group(tx, published, occasion, &ready).await?,
        };
        Ok(self.done(&ready, id, version, made))
    }

    /// Does the new users that `todo` begins with, all together, where that is to be had.
    async fn create_users(
        &self,
        tx: &mut Tx,
        published: &Published,
        occasion: &mut Occasion,
        todo: &[Step],
        made: &mut Made,
    ) -> Result<Together, ProvisionError> {
        let is_new_user = |ready: &Ready| ready.method == Method::Post && ready.operation.endpoint == Endpoint::Users;
        let ready: Vec<Ready> = todo.iter().map_while(|step| self.ready(step, made).ok().filter(is_new_user)).collect();
        if ready.len() < 2 {
            return Ok(Together::Singly(ready.len()));
        }
        let read = |ready: &Ready| User::read(ready.data.clone(), &self.caller.schemas, self.caller.settings.dialect)?.created();
        let users = ready.iter().map(read).collect::<Result<Vec<User>, ScimError>>()?;
        let Some(rows) = user::create_users(tx, published, occasion, users).await? else {
            return Ok(Together::Singly(ready.len()));
        };
        let done = ready.iter().zip(rows).map(|(ready, row)| self.done(ready, row.id.to_string(), Some(row.scim.version), made));
        Ok(Together::Done(done.collect()))
    }

    /// What came of an operation; who refers to it by its bulkId finds it from now on.
    fn done(&self, ready: &Ready, id: String, version: Option<i64>, made: &mut Made) -> Done {
        let location = format!("{}/{}/{id}", self.caller.base, ready.operation.endpoint.as_str());
        if let Some(bulk_id) = ready.operation.bulk_id.as_deref().filter(|_| ready.method == Method::Post) {
            made.insert(bulk_id, id);
        }
        Done { location, version: version.map(etag) }
    }

    fn ready(&self, step: &Step, made: &Made) -> Result<Ready<'_>, ProvisionError> {
        let (at, without) = match step {
            Step::Run { operation, without } => (*operation, without),
            Step::Complete { operation } => (*operation, &BTreeSet::new()),
        };
        let operation = self.bulk.operations[at].as_ref().map_err(|unreadable| ProvisionError::Scim(unreadable.error.clone()))?;
        // Whoever works one by one has asked already, and knows which answer it is.
        let resolved = operation.resolve(made, without).map_err(|error| ProvisionError::Scim(ScimError::value(error)))?;
        Ok(match step {
            Step::Run { .. } => Ready { method: operation.method, operation, id: resolved.id, data: resolved.data },
            // What was made with a part of its references is written again with all of them.
            Step::Complete { .. } => Ready {
                method: Method::Put,
                operation,
                id: operation.bulk_id.as_deref().and_then(|name| made.id(name)),
                data: resolved.data,
            },
        })
    }

    async fn user(
        &self,
        tx: &mut Tx,
        published: &Published,
        occasion: &mut Occasion,
        ready: &Ready<'_>,
    ) -> Result<(String, Option<i64>), ProvisionError> {
        let (dialect, schemas) = (self.caller.settings.dialect, &self.caller.schemas);
        let data = ready.data.clone();
        if ready.method == Method::Post {
            let created = user::create_user(tx, published, occasion, User::read(data, schemas, dialect)?.created()?).await?;
            return Ok((created.user.id.to_string(), Some(created.user.scim.version)));
        }
        let (id, condition) = (id(ready)?, precondition(ready.operation.version.as_deref()));
        let row = match ready.method {
            Method::Put => {
                let replaced = User::read(data, schemas, dialect)?;
                let replace = |before: &User| replaced.clone().replacing(before);
                user::change_user(tx, published, occasion, id, condition, replace).await?
            }
            Method::Patch => {
                let patch = Patch::read(data, dialect)?;
                user::change_user(tx, published, occasion, id, condition, |before: &User| patch.apply(before, schemas, dialect)).await?
            }
            Method::Delete | Method::Post => {
                user::delete_user(tx, published, occasion, id, condition).await?;
                return Ok((id.to_string(), None));
            }
        };
        Ok((row.id.to_string(), Some(row.scim.version)))
    }

    async fn group(
        &self,
        tx: &mut Tx,
        published: &Published,
        occasion: &mut Occasion,
        ready: &Ready<'_>,
    ) -> Result<(String, Option<i64>), ProvisionError> {
        let dialect = self.caller.settings.dialect;
        let data = ready.data.clone();
        if ready.method == Method::Post {
            let row = group::create_group(tx, published, occasion, Group::read(data, dialect)?).await?;
            return Ok((row.id.to_string(), Some(row.version)));
        }
        let (id, condition) = (id(ready)?, precondition(ready.operation.version.as_deref()));
        let row = match ready.method {
            Method::Put => group::replace_group(tx, published, occasion, id, condition, Group::read(data, dialect)?).await?,
            Method::Patch => {
                let change = Patch::read(data, dialect)?.group_change(dialect)?;
                group::change_group(tx, published, occasion, id, condition, change).await?
            }
            Method::Delete | Method::Post => {
                group::delete_group(tx, published, occasion, id, condition).await?;
                return Ok((id.to_string(), None));
            }
        };
        Ok((row.id.to_string(), Some(row.version)))
    }
}

/// What is no id names no resource.
fn id<Kind>(ready: &Ready<'_>) -> Result<Id<Kind>, ProvisionError> {
    ready.id.as_deref().and_then(|id| Id::parse(id).ok()).ok_or(ProvisionError::NotFound)
}
