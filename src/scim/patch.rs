//! PATCH (RFC 7644 §3.5.2) as a pure function: the old resource and a request make the new one, or nothing changes.
//! A group's membership is never loaded: its PATCH becomes set operations (`group`).

mod edit;

use std::mem;

use serde_json::{Map, Value};

pub(super) use edit::{Editor, ReadOnly};

use super::{
    error::{ErrorKind, ScimError},
    group::GroupChange,
    json, normalise,
    path::Path,
    resource::User,
    schema::Schemas,
};
use crate::domain::connection::Dialect;

pub const URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Operations in one request.
pub const OPERATIONS: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Add,
    Replace,
    Remove,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub op: Op,
    pub path: Option<Path>,
    pub value: Option<Value>,
}

/// A PATCH request.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    pub operations: Vec<Operation>,
}

impl Patch {
    /// Reads a request body.
    ///
    /// # Errors
    /// When it is no PATCH, has more than 1,000 operations, or one of them cannot be read; the words name which.
    pub fn parse(body: &[u8], dialect: Dialect) -> Result<Self, ScimError> {
        Self::read(json::object(body)?, dialect)
    }

    /// As `parse`, from JSON that was read already (an operation of a bulk request).
    ///
    /// # Errors
    /// As `parse`.
    pub fn read(mut map: Map<String, Value>, dialect: Dialect) -> Result<Self, ScimError> {
        let tolerant = dialect == Dialect::Tolerant;
        // Hand-written clients: PATCH without `schemas`.
        let named = map.get("schemas").and_then(Value::as_array).is_some_and(|schemas| schemas.iter().any(|s| s.as_str() == Some(URN)));
        if !named && !tolerant {
            return Err(ScimError::syntax(format_args!("schemas of a PATCH must name {URN}.")));
        }
        // Hand-written clients: `operations` in lower case.
        let key = map.keys().find(|key| *key == "Operations" || (tolerant && key.eq_ignore_ascii_case("operations"))).cloned();
        let Some(Value::Array(items)) = key.and_then(|key| map.get_mut(&key)).map(Value::take) else {
            return Err(ScimError::syntax("A PATCH has an array Operations."));
        };
        if items.is_empty() {
            return Err(ScimError::syntax("Operations is empty; a PATCH has at least one."));
        }
        if items.len() > OPERATIONS {
            return Err(ScimError::new(
                ErrorKind::TooLarge,
                format_args!("A PATCH has at most {OPERATIONS} operations, not {}.", items.len()),
            ));
        }
        let named =
            |(i, item)| Operation::read(item, dialect).map_err(|e| ScimError { detail: format!("Operation {}: {}", i + 1, e.detail), ..e });
        let operations = items.into_iter().enumerate().map(named).collect::<Result<_, _>>()?;
        Ok(Self { operations })
    }

    /// The user as it is after all operations, or the first one's refusal.
    ///
    /// # Errors
    /// As RFC 7644 §3.5.2 names them.
    pub fn apply(&self, user: &User, schemas: &Schemas, dialect: Dialect) -> Result<User, ScimError> {
        let mut editor = Editor { document: user.attributes.clone(), schema: &schemas.user, dialect, read_only: ReadOnly::Refuse };
        for (i, operation) in self.operations.iter().enumerate() {
            editor.apply(operation).map_err(|e| ScimError { detail: format!("Operation {}: {}", i + 1, e.detail), ..e })?;
        }
        let changed = User { attributes: mem::take(&mut editor.document) };
        changed.check_required(&schemas.user)?;
        Ok(changed.keeping_inactive(user))
    }

    /// What the request changes of a group.
    ///
    /// # Errors
    /// As RFC 7644 §3.5.2 names them.
    pub fn group_change(&self, dialect: Dialect) -> Result<GroupChange, ScimError> {
        let mut change = GroupChange::default();
        for (i, operation) in self.operations.iter().enumerate() {
            change.add(operation, dialect).map_err(|e| ScimError { detail: format!("Operation {}: {}", i + 1, e.detail), ..e })?;
        }
        Ok(change)
    }
}

impl Operation {
    fn read(item: Value, dialect: Dialect) -> Result<Self, ScimError> {
        let tolerant = dialect == Dialect::Tolerant;
        let Value::Object(mut map) = item else {
            return Err(ScimError::syntax("It is not an object."));
        };
        let mut member = |name: &str| {
            let key = map.keys().find(|key| *key == name || (tolerant && key.eq_ignore_ascii_case(name))).cloned();
            key.and_then(|key| map.get_mut(&key)).map(Value::take)
        };
        let op = match member("op") {
            Some(Value::String(op)) if tolerant => normalise::operation_name(&op),
            Some(Value::String(op)) => op,
            _ => return Err(ScimError::syntax("It has no op; add, replace or remove was expected.")),
        };
        let op = match op.as_str() {
            "add" => Op::Add,
            "replace" => Op::Replace,
            "remove" => Op::Remove,
            _ => return Err(ScimError::syntax("Its op is unknown; add, replace or remove was expected.")),
        };
        let path = match member("path") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.trim().is_empty() && tolerant => None,
            Some(Value::String(text)) => {
                let path = text.trim().parse().map_err(|e| ScimError::path(format_args!("Its path cannot be read {e}.")))?;
                Some(path)
            }
            Some(_) => return Err(ScimError::path("Its path is not a string.")),
        };
        let value = member("value");
        match op {
            // RFC 7644 §3.5.2.1: "The operation MUST contain a "value" member".
            Op::Add | Op::Replace if value.is_none() => Err(ScimError::value("It has no value.")),
            // RFC 7644 §3.5.2.2: "If "path" is unspecified, the operation fails with HTTP status code 400 and a "scimType" error code of "noTarget"."
            Op::Remove if path.is_none() => Err(ScimError::no_target("It has no path; remove needs one.")),
            // RFC 7644 §3.5.2.2 selects with the path alone; whoever sends a value means less than the whole attribute.
            Op::Remove if !tolerant && value.as_ref().is_some_and(|value| !value.is_null()) => {
                Err(ScimError::syntax("remove takes no value; select the values in its path."))
            }
            Op::Add | Op::Replace | Op::Remove => Ok(Self { op, path, value }),
        }
    }
}
