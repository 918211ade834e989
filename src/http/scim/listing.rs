//! Lists (RFC 7644 section 3.4.2, RFC 9865): found by the database as far as its columns go, and the rest by a look at the documents;
//! paged by index or by cursor, in the order of ids or sorted.

use std::{cmp::Ordering, collections::HashMap};

use serde_json::{Map, Value};

use super::{collection::Collection, cursors::Cursors};
use crate::{
    db::{
        DbError,
        directory::{Places, Span},
        filter::Condition,
    },
    http::{caller::ScimCaller, error::ScimFailure},
    scim::{
        cursor::Position,
        error::{ErrorKind, ScimError},
        filter::Filter,
        list::{ListQuery, SortOrder, cursor_response, list_response},
        path::AttrPath,
        project::Projection,
        sort::{self, Key, SORTED, Sorter},
    },
};

/// One list as it was asked for.
pub struct Asked<'a, C> {
    pub collection: &'a C,
    pub query: &'a ListQuery,
    condition: Condition,
}

/// A resource of a sorted list, before it is read.
pub struct Placed<Id> {
    pub key: Key,
    pub id: Id,
    pub text: String,
}

impl<Id> Placed<Id> {
    pub fn map<Other>(self, id: impl FnOnce(Id) -> Other) -> Placed<Other> {
        Placed { key: self.key, id: id(self.id), text: self.text }
    }
}

pub async fn list_collection<C: Collection>(collection: &C, caller: &ScimCaller, query: &ListQuery) -> Result<Value, ScimFailure> {
    let asked = Asked::new(collection, query);
    if query.cursor.is_some() { asked.by_cursor(&Cursors::new(caller, collection.name(), query)).await } else { asked.by_index().await }
}

impl<'a, C: Collection> Asked<'a, C> {
    pub fn new(collection: &'a C, query: &'a ListQuery) -> Self {
        let condition =
            query.filter.as_ref().map_or_else(Condition::all, |filter| Condition::within(filter, C::RESOURCES, collection.schema()));
        Self { collection, query, condition }
    }

    pub fn collection_id(&self, text: &str) -> Option<C::Id> {
        self.collection.parse_id(text)
    }

    /// The filter, when the database cannot decide it alone.
    fn undecided(&self) -> Option<&'a Filter> {
        self.query.filter.as_ref().filter(|_| !self.condition.is_exact())
    }

    async fn by_index(&self) -> Result<Value, ScimFailure> {
        let (total, rows) = match &self.query.sort_by {
            _ if self.condition.is_none() => (0, Vec::new()),
            Some(path) => {
                let placed = self.sorted(path).await?;
                let page: Vec<C::Id> = placed.iter().skip(self.query.start_index - 1).take(self.query.count).map(|one| one.id).collect();
                (placed.len(), self.read(&page).await?)
            }
            None => self.page(self.query.start_index, self.query.count).await?,
        };
        Ok(list_response(total, self.query.start_index, self.show(&rows).await?))
    }

    async fn by_cursor(&self, cursors: &Cursors<'_>) -> Result<Value, ScimFailure> {
        let opened = cursors.open()?;
        let position = opened.as_ref().map(|cursor| &cursor.position);
        let count = self.query.count;
        let (total, rows, next) = match &self.query.sort_by {
            _ if self.condition.is_none() => (Some(0), Vec::new(), None),
            Some(path) => {
                let placed = self.sorted(path).await?;
                let order = self.query.sort_order;
                let passed = position.map_or(0, |p| placed.partition_point(|one| is_passed(one, p, order)));
                let page = &placed[passed..(passed + count).min(placed.len())];
                let more = passed + page.len() < placed.len();
                let next = page.last().filter(|_| more).map(|last| Position { id: last.text.clone(), key: Some(last.key.clone()) });
                let ids: Vec<C::Id> = page.iter().map(|one| one.id).collect();
                (Some(placed.len()), self.read(&ids).await?, next)
            }
            None => {
                let after = match position {
                    Some(position) => Some(self.collection.parse_id(&position.id).ok_or_else(ScimFailure::not_found)?),
                    None => None,
                };
                // Counted once, for the first page; the pages behind it cost a page.
                let total = match &opened {
                    Some(cursor) => cursor.total,
                    None => self.count().await?,
                };
                let (rows, more) = self.take(after, count).await?;
                let next = rows.last().filter(|_| more).map(|last| Position { id: self.collection.id(last).to_string(), key: None });
                (total, rows, next)
            }
        };
        let next = next.map(|position| cursors.seal(position, total));
        Ok(cursor_response(total, next.as_deref(), self.show(&rows).await?))
    }

    /// The number of all, unless only reading them would tell.
    async fn count(&self) -> Result<Option<usize>, DbError> {
        if self.undecided().is_some() {
            return Ok(None);
        }
        let total = if self.condition.is_all() { self.collection.total().await? } else { self.collection.count(&self.condition).await? };
        Ok(Some(usize::try_from(total).unwrap_or(0)))
    }

    pub async fn show(&self, rows: &[C::Row]) -> Result<Vec<Value>, DbError> {
        self.collection.show(rows, self.query.projection.wants(C::APART), &self.query.projection).await
    }

    /// At most so many in the order of ids, and whether there are more behind them.
    pub async fn take(&self, after: Option<C::Id>, count: usize) -> Result<(Vec<C::Row>, bool), DbError> {
        if self.condition.is_none() || count == 0 {
            return Ok((Vec::new(), false));
        }
        let mut rows = Vec::new();
        if let Some(filter) = self.undecided() {
            let mut walk = Walk::new(self, Some(filter), None, after);
            while rows.len() <= count
                && let Some(found) = walk.next().await?
            {
                rows.extend(found.into_iter().map(|(row, _)| row));
            }
        } else {
            rows = self.collection.page(&self.condition, Span { after, limit: number(count) + 1 }).await?;
        }
        let more = rows.len() > count;
        rows.truncate(count);
        Ok((rows, more))
    }

    /// The resources from `start` (from 1) in the order of ids, and how many there are in all.
    pub async fn page(&self, start: usize, count: usize) -> Result<(usize, Vec<C::Row>), DbError> {
        if self.condition.is_none() {
            return Ok((0, Vec::new()));
        }
        if let Some(filter) = self.undecided() {
            let (mut matches, mut kept) = (0, Vec::new());
            let mut walk = Walk::new(self, Some(filter), None, None);
            while let Some(found) = walk.next().await? {
                for (row, _) in found {
                    matches += 1;
                    if matches >= start && kept.len() < count {
                        kept.push(row);
                    }
                }
            }
            return Ok((matches, kept));
        }
        let (offset, limit) = (number(start - 1), number(count));
        let total = if self.condition.is_all() { Some(self.collection.total().await?) } else { None };
        let (read, rows) = self.at(Places { offset, limit }, total).await?;
        let total = match total {
            Some(total) => total,
            // The page has the end of the list: nothing needs counting.
            None if read < limit && (read > 0 || offset == 0) => offset + read,
            None => self.collection.count(&self.condition).await?,
        };
        // A counter may have been read before a commit that the page has seen.
        Ok((usize::try_from(total.max(if read > 0 { offset + read } else { 0 })).unwrap_or(0), rows))
    }

    /// What is at these places, and how many it were when they were sought; `total`: of the whole collection, where all of it is listed.
    async fn at(&self, places: Places, total: Option<i64>) -> Result<(i64, Vec<C::Row>), DbError> {
        let Places { offset, limit } = places;
        if limit == 0 {
            return Ok((0, Vec::new()));
        }
        if offset == 0 {
            let rows = self.collection.page(&self.condition, Span { after: None, limit }).await?;
            return Ok((number(rows.len()), rows));
        }
        let from_end = match total {
            Some(total) if offset > total / 2 => self.collection.ids_from_end(total, places).await?,
            _ => None,
        };
        let ids = match from_end {
            Some(ids) => ids,
            None => self.collection.ids(&self.condition, places).await?,
        };
        Ok((number(ids.len()), self.read(&ids).await?))
    }

    /// All that match, in order; their documents are looked at and let go.
    pub async fn sorted(&self, path: &AttrPath) -> Result<Vec<Placed<C::Id>>, ScimFailure> {
        let sorter = Sorter::new(path, self.collection.schema())?;
        let mut placed = Vec::new();
        let mut walk = Walk::new(self, self.undecided(), Some(path), None);
        while let Some(found) = walk.next().await? {
            for (row, document) in found {
                let id = self.collection.id(&row);
                placed.push(Placed { key: sorter.key(&document), id, text: id.to_string() });
            }
            if placed.len() > SORTED {
                let detail = format!("More than {SORTED} resources would have to be sorted; filter them, or page without sortBy.");
                return Err(ScimError::new(ErrorKind::TooMany, detail).into());
            }
        }
        let order = self.query.sort_order;
        placed.sort_unstable_by(|a, b| sort::compare((&a.key, &a.text), (&b.key, &b.text), order));
        Ok(placed)
    }

    /// The rows of these ids, in their order; who vanished meanwhile is left out.
    pub async fn read(&self, ids: &[C::Id]) -> Result<Vec<C::Row>, DbError> {
        let rows = self.collection.picked(ids).await?;
        let mut rows: HashMap<String, C::Row> = rows.into_iter().map(|row| (self.collection.id(&row).to_string(), row)).collect();
        Ok(ids.iter().filter_map(|id| rows.remove(&id.to_string())).collect())
    }
}

fn is_passed<Id>(one: &Placed<Id>, position: &Position, order: SortOrder) -> bool {
    let key = position.key.as_ref().unwrap_or(&Key::Missing);
    sort::compare((&one.key, &one.text), (key, &position.id), order) != Ordering::Greater
}

fn number(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Goes through the rows that may match, some at a time, and keeps those that do, with their documents.
struct Walk<'w, C: Collection> {
    collection: &'w C,
    condition: &'w Condition,
    filter: Option<&'w Filter>,
    /// Whether the documents need what costs a query more.
    apart: bool,
    limit: i64,
    after: Option<C::Id>,
    ended: bool,
}

impl<'w, C: Collection> Walk<'w, C> {
    fn new(asked: &'w Asked<'_, C>, filter: Option<&'w Filter>, sort_by: Option<&AttrPath>, after: Option<C::Id>) -> Self {
        let named = filter.into_iter().flat_map(Filter::attributes).chain(sort_by);
        let apart = named.into_iter().any(|path| path.name.eq_ignore_ascii_case(C::APART));
        let limit = asked.collection.scan_page(apart);
        Self { collection: asked.collection, condition: &asked.condition, filter, apart, limit, after, ended: false }
    }

    async fn next(&mut self) -> Result<Option<Vec<(C::Row, Map<String, Value>)>>, DbError> {
        if self.ended {
            return Ok(None);
        }
        let rows = self.collection.page(self.condition, Span { after: self.after, limit: self.limit }).await?;
        self.ended = number(rows.len()) < self.limit;
        if let Some(last) = rows.last() {
            self.after = Some(self.collection.id(last));
        }
        let documents = self.collection.show(&rows, self.apart, &Projection::default()).await?;
        let mut found = Vec::with_capacity(rows.len());
        for (row, document) in rows.into_iter().zip(documents) {
            let Value::Object(document) = document else { continue };
            if self.filter.is_none_or(|filter| filter.matches(&document, self.collection.schema())) {
                found.push((row, document));
            }
        }
        Ok(Some(found))
    }
}
