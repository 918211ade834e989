//! The cursors of one list: opened with its query, sealed for its next page.

use crate::{
    http::{caller::ScimCaller, error::ScimFailure},
    scim::{
        cursor::{Cursor, LENGTH, Position, fingerprint},
        list::ListQuery,
    },
};

const PURPOSE: &str = "SCIM cursor";

pub struct Cursors<'a> {
    caller: &'a ScimCaller,
    fingerprint: String,
    sent: &'a str,
}

impl<'a> Cursors<'a> {
    /// `list` is told apart from the other lists of the connection.
    pub fn new(caller: &'a ScimCaller, list: &str, query: &'a ListQuery) -> Self {
        let list = format!("{} {} {list}", caller.tenant, caller.connection);
        Self { caller, fingerprint: fingerprint(&list, query), sent: query.cursor.as_deref().unwrap_or_default() }
    }

    /// `None` for the first page.
    pub fn open(&self) -> Result<Option<Cursor>, ScimFailure> {
        if self.sent.is_empty() {
            return Ok(None);
        }
        let unsealed = if self.sent.len() > LENGTH { None } else { self.caller.app.keys.unseal(PURPOSE, self.sent) };
        Ok(Some(Cursor::read(unsealed.as_deref(), &self.fingerprint, self.caller.app.now())?))
    }

    pub fn seal(&self, position: Position, total: Option<usize>) -> String {
        let app = &self.caller.app;
        let cursor = Cursor::new(position, self.fingerprint.clone(), total, app.now());
        app.keys.seal(PURPOSE, app.random.bytes(), &cursor.to_bytes())
    }
}
