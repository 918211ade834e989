//! `/Bulk` (RFC 7644 section 3.7): many operations in one request. Each is done as a whole or not at all, whatever becomes of the others.
//!
//! Operations are tried together, many in one transaction, because a commit costs more than most of them. When one of them is refused,
//! nothing of that transaction stays, and they are done one by one, so that each gets its own answer.

mod step;

use std::collections::BTreeSet;

use axum::response::Response;
use serde_json::Value;

use self::step::{Done, Steps};
use super::{body::BulkBody, respond::document};
use crate::{
    http::{
        caller::ScimCaller,
        error::{Kind, ScimFailure},
    },
    provision::ProvisionError,
    scim::{
        bulk::{Bulk, Made, Method, Outcome, Step, Unresolved, response},
        error::ErrorKind,
        unique,
    },
};

/// Operations that are tried in one transaction: enough to spread the cost of the commit, few enough to keep others waiting no longer
/// than a slow request.
const TOGETHER: usize = 100;

pub async fn run(caller: ScimCaller, BulkBody(body): BulkBody) -> Result<Response, ScimFailure> {
    let bulk = Bulk::parse(&body)?;
    unique::check(&body, caller.settings.dialect)?;
    drop(body);
    let steps = bulk.steps();
    let mut work = Work { caller: &caller, bulk: &bulk, made: Made::default(), outcomes: vec![None; bulk.operations.len()], errors: 0 };
    for chunk in steps.chunks(TOGETHER) {
        if work.is_stopped() {
            break;
        }
        if !work.try_together(chunk).await {
            work.one_by_one(chunk).await;
        }
    }
    Ok(document(work.answer()))
}

struct Work<'a> {
    caller: &'a ScimCaller,
    bulk: &'a Bulk,
    made: Made,
    /// By the operation's place in the request.
    outcomes: Vec<Option<Outcome>>,
    errors: usize,
}

impl Work<'_> {
    fn is_stopped(&self) -> bool {
        self.bulk.fail_on_errors.is_some_and(|most| self.errors >= most)
    }

    /// Whether all of them were done.
    async fn try_together(&mut self, steps: &[Step]) -> bool {
        if steps.len() < 2 {
            return false;
        }
        let together = Steps { caller: self.caller, bulk: self.bulk, todo: steps, made: &self.made };
        match self.caller.commit(&together).await {
            Ok((done, made)) => {
                self.made = made;
                for (step, done) in steps.iter().zip(done) {
                    self.succeed(step, done);
                }
                true
            }
            // All of them share the answer. Doing them one by one would do again what may have been written.
            Err(ProvisionError::Db(error)) if error.passes() => {
                let failure = ScimFailure::from(error);
                for step in steps {
                    self.fail(step, &failure);
                }
                true
            }
            Err(_) => false,
        }
    }

    async fn one_by_one(&mut self, steps: &[Step]) {
        for step in steps {
            if self.is_stopped() {
                return;
            }
            if let Some(failure) = self.unresolved(step) {
                self.fail(step, &failure);
                continue;
            }
            if self.is_void(step) {
                continue;
            }
            let alone = Steps { caller: self.caller, bulk: self.bulk, todo: std::slice::from_ref(step), made: &self.made };
            match self.caller.commit(&alone).await {
                Ok((done, made)) => {
                    self.made = made;
                    for done in done {
                        self.succeed(step, done);
                    }
                }
                Err(failure) => self.fail(step, &failure.into()),
            }
        }
    }

    /// Why its references lead nowhere, if they do.
    fn unresolved(&self, step: &Step) -> Option<ScimFailure> {
        let none = BTreeSet::new();
        let (at, without) = match step {
            Step::Run { operation, without } => (*operation, without),
            Step::Complete { .. } if self.is_void(step) => return None,
            Step::Complete { operation } => (*operation, &none),
        };
        self.bulk.operations[at].as_ref().ok()?.resolve(&self.made, without).err().map(ScimFailure::from)
    }

    /// Whether it would complete what was never made.
    fn is_void(&self, step: &Step) -> bool {
        let (at, completing) = place(step);
        completing && self.outcomes[at].as_ref().is_none_or(|outcome| outcome.response.is_some())
    }

    fn succeed(&mut self, step: &Step, done: Done) {
        let (at, _) = place(step);
        let Some(Ok(operation)) = self.bulk.operations.get(at) else { return };
        let status = match operation.method {
            Method::Post => 201,
            Method::Put | Method::Patch => 200,
            Method::Delete => 204,
        };
        self.outcomes[at] = Some(Outcome {
            method: Some(operation.method),
            bulk_id: operation.bulk_id.clone(),
            location: Some(done.location),
            version: done.version,
            status,
            response: None,
        });
    }

    fn fail(&mut self, step: &Step, failure: &ScimFailure) {
        self.errors += 1;
        let (at, completing) = place(step);
        let (method, bulk_id) = match &self.bulk.operations[at] {
            Ok(operation) => (Some(operation.method), operation.bulk_id.clone()),
            Err(unreadable) => (unreadable.method, unreadable.bulk_id.clone()),
        };
        if let Some(bulk_id) = &bulk_id
            && method == Some(Method::Post)
            && !completing
        {
            self.made.fail(bulk_id);
        }
        // A resource that was made but could not be completed is there: its address stays in the answer.
        let location = self.outcomes[at].take().and_then(|made| made.location).or_else(|| self.location(at));
        let response = Some(failure.body());
        self.outcomes[at] = Some(Outcome { method, bulk_id, location, version: None, status: failure.status(), response });
    }

    /// RFC 7644 section 3.7: "location […] REQUIRED […] except in the case of a POST failure".
    fn location(&self, at: usize) -> Option<String> {
        let operation = self.bulk.operations.get(at)?.as_ref().ok()?;
        let id = operation.target(&self.made)?;
        Some(format!("{}/{}/{id}", self.caller.base, operation.endpoint.as_str()))
    }

    fn answer(self) -> Value {
        let outcomes: Vec<Outcome> = self.outcomes.into_iter().flatten().collect();
        response(&outcomes)
    }
}

fn place(step: &Step) -> (usize, bool) {
    match step {
        Step::Run { operation, .. } => (*operation, false),
        Step::Complete { operation } => (*operation, true),
    }
}

impl From<Unresolved> for ScimFailure {
    fn from(error: Unresolved) -> Self {
        match &error {
            Unresolved::Unknown(_) => Self { kind: Kind::Invalid, scim_type: Some(ErrorKind::InvalidValue), detail: error.to_string() },
            Unresolved::Failed(_) => Self::new(Kind::Conflict, error.to_string()),
        }
    }
}
