//! Where an operation's path leads in a document, by its schema; what happens there is `level`'s.

use serde_json::{Map, Value};

use super::{Op, Operation, level::Level};
use crate::{
    domain::connection::Dialect,
    scim::{
        error::ScimError,
        filter::Filter,
        path::Path,
        schema::{Definition, Mutability, Schema, Target},
        value,
    },
};

/// What happens to read-only attributes that stand in an object without a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// RFC 7644 §3.3, §3.5.1: of POST and PUT "SHALL be ignored".
    Ignore,
    /// Of PATCH; Okta sends `id` beside `displayName`, so only the strict dialect refuses.
    Refuse,
}

pub struct Editor<'a> {
    pub document: Map<String, Value>,
    pub schema: &'a Schema,
    pub dialect: Dialect,
    pub read_only: ReadOnly,
}

impl Editor<'_> {
    fn tolerant(&self) -> bool {
        self.dialect == Dialect::Tolerant
    }

    pub fn apply(&mut self, operation: &Operation) -> Result<(), ScimError> {
        match (&operation.path, &operation.value) {
            (Some(path), value) => self.at(operation.op, path, value.clone()),
            // RFC 7644 §3.5.2.1: "If omitted, the target location is assumed to be the resource itself. The "value" parameter contains a set of attributes".
            (None, Some(Value::Object(map))) => self.object(operation.op, map.clone()),
            (None, _) => Err(ScimError::value("Without a path its value must be an object of attributes.")),
        }
    }

    /// Attributes without a path: of PATCH, and of the body of POST and PUT.
    pub fn object(&mut self, op: Op, map: Map<String, Value>) -> Result<(), ScimError> {
        let schema = self.schema;
        for (key, value) in map {
            if let Some(attribute) = schema.attribute(&key) {
                if attribute.mutability == Mutability::ReadOnly && (self.tolerant() || self.read_only == ReadOnly::Ignore) {
                    continue;
                }
                self.edit(op, Target { extension: None, attribute: Some(attribute), sub: None }, None, Some(value))?;
            } else if let Some(extension) = schema.extension(&key) {
                self.edit(op, Target { extension: Some(extension), attribute: None, sub: None }, None, Some(value))?;
            } else if self.tolerant() {
                self.flattened(op, &key, value)?;
            }
            // RFC 7644 §3.3 leaves unknown attributes to the provider; they are not kept.
        }
        Ok(())
    }

    /// Entra: keys that are paths (`name.givenName`, `urn:…:User:department`, `emails[type eq "work"].value`) and extension
    /// attributes at the top level (`department`, `manager`). A key that leads nowhere is an unknown attribute.
    fn flattened(&mut self, op: Op, key: &str, value: Value) -> Result<(), ScimError> {
        let Ok(path) = key.parse::<Path>() else { return Ok(()) };
        let Some(target) = self.schema.lookup_anywhere(&path.attribute) else { return Ok(()) };
        if is_read_only(target) {
            return Ok(());
        }
        self.edit(op, target, path.filter.as_ref(), Some(value))
    }

    fn at(&mut self, op: Op, path: &Path, value: Option<Value>) -> Result<(), ScimError> {
        let target = if self.tolerant() { self.schema.lookup_anywhere(&path.attribute) } else { self.schema.lookup(&path.attribute) };
        let target = target.ok_or_else(|| ScimError::path(format_args!("The path {path} names no attribute of the schema.")))?;
        self.edit(op, target, path.filter.as_ref(), value)
    }

    fn edit(&mut self, op: Op, target: Target<'_>, filter: Option<&Filter>, value: Option<Value>) -> Result<(), ScimError> {
        let Some(attribute) = target.attribute else {
            let Some(extension) = target.extension else { return Ok(()) };
            return self.extension(op, extension, filter, value);
        };
        // `schemas` follows from the attributes.
        if attribute.name == "schemas" {
            return Ok(());
        }
        if is_read_only(target) {
            return Err(ScimError::mutability(format_args!("{} is read-only.", attribute.name)));
        }
        if !value::is_kept(attribute) {
            return Ok(());
        }
        let mut fresh = Map::new();
        let level = match target.extension {
            None => &mut self.document,
            Some(extension) => match self.document.get_mut(&extension.urn) {
                Some(Value::Object(level)) => level,
                _ => &mut fresh,
            },
        };
        Level { values: level, dialect: self.dialect }.edit(op, attribute, target.sub, filter, value)?;
        if let Some(extension) = target.extension {
            self.settle(extension, fresh);
        }
        Ok(())
    }

    /// An extension without attributes is not there.
    fn settle(&mut self, extension: &Definition, fresh: Map<String, Value>) {
        if !fresh.is_empty() {
            self.document.insert(extension.urn.clone(), Value::Object(fresh));
        } else if self.document.get(&extension.urn).and_then(Value::as_object).is_some_and(Map::is_empty) {
            self.document.shift_remove(&extension.urn);
        }
    }

    /// An extension as a whole: its attributes are merged; removed, all go.
    fn extension(&mut self, op: Op, extension: &Definition, filter: Option<&Filter>, value: Option<Value>) -> Result<(), ScimError> {
        if filter.is_some() {
            return Err(ScimError::path("An extension has no values to select."));
        }
        match (op, value) {
            (Op::Remove, _) | (Op::Replace, Some(Value::Null)) => {
                self.document.shift_remove(&extension.urn);
                Ok(())
            }
            (Op::Add | Op::Replace, Some(Value::Object(map))) => {
                for (key, value) in map {
                    let Some(attribute) = extension.attributes.iter().find(|a| a.name.eq_ignore_ascii_case(&key)) else { continue };
                    if attribute.mutability != Mutability::ReadOnly {
                        self.edit(op, Target { extension: Some(extension), attribute: Some(attribute), sub: None }, None, Some(value))?;
                    }
                }
                Ok(())
            }
            (Op::Add, Some(Value::Null)) => Ok(()),
            (Op::Add | Op::Replace, _) => Err(ScimError::value(format_args!("{} is an object of attributes.", extension.urn))),
        }
    }
}

fn is_read_only(target: Target<'_>) -> bool {
    [target.attribute, target.sub].into_iter().flatten().any(|a| a.mutability == Mutability::ReadOnly)
}
