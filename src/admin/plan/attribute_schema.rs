//! The part of a plan that concerns the tenant's own extension of User.

use serde_json::{Map, Value, json};

use super::{Change, PlanError, Planner, differences};
use crate::admin::attribute_schema;

impl Planner<'_> {
    pub(super) fn attribute_schema(&mut self) -> Result<(), PlanError> {
        let known = self.current.and_then(|current| current.attribute_schema.as_ref());
        let Some(entry) = &self.file.attribute_schema else {
            if known.is_some_and(|known| known.from_file) {
                self.changes.push(Change::DeleteAttributeSchema);
            }
            return Ok(());
        };
        let definition = attribute_schema::read(&entry.value).map_err(|error| entry.place.refuse(error))?;
        let what = known.map(|known| differences(&by_name(&known.document), &by_name(&entry.value))).unwrap_or_default();
        match known {
            Some(_) if what.is_empty() => return Ok(()),
            Some(known) if !known.from_file => {
                let why = "the tenant has a schema that no file made, and it says something else: withdraw it, or write here what it says";
                return Err(entry.place.refuse(why).into());
            }
            Some(_) | None => {}
        }
        self.changes.push(Change::PutAttributeSchema { definition, document: entry.value.clone(), what });
        Ok(())
    }
}

/// The document with its attributes under their names, so that a difference names the attribute.
fn by_name(document: &str) -> Value {
    let mut document: Value = serde_json::from_str(document).unwrap_or_default();
    let attributes = document["attributes"].as_array().cloned().unwrap_or_default();
    let named = attributes.into_iter().map(|attribute| (attribute["name"].as_str().unwrap_or_default().to_owned(), attribute));
    document["attributes"] = json!(named.collect::<Map<_, _>>());
    document
}
