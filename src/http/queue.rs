//! Queues of requests that change the same resource. The database would let all but one of them wait for its lock, each with a
//! connection of the pool: a lock that is held for long would take the connections of everybody else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many requests for the same resource have a transaction at once: one works, and the next one is ready when it ends.
const AT_ONCE: usize = 2;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// By the identifier of the resource.
#[derive(Debug, Clone, Default)]
pub struct Queues(Arc<Mutex<HashMap<String, Queue>>>);

#[derive(Debug)]
struct Queue {
    turns: Arc<Semaphore>,
    /// The number of requests that wait or have a turn.
    length: usize,
}

/// Too many requests for the same resource are waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl Queues {
    /// Waits for a turn, which ends when the value is dropped.
    pub async fn enter(&self, resource: String) -> Result<Turn, Busy> {
        let turns = {
            let mut queues = self.lock();
            let queue = queues.entry(resource.clone()).or_insert_with(|| Queue { turns: Arc::new(Semaphore::new(AT_ONCE)), length: 0 });
            queue.length += 1;
            queue.turns.clone()
        };
        let mut turn = Turn { queues: self.clone(), resource, permit: None };
        let permit = tokio::time::timeout(PATIENCE, turns.acquire_owned()).await;
        turn.permit = Some(permit.map_err(|_| Busy)?.map_err(|_| Busy)?);
        Ok(turn)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub struct Turn {
    queues: Queues,
    resource: String,
    /// `None` while it waits.
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.permit = None;
        let mut queues = self.queues.lock();
        if let Some(queue) = queues.get_mut(&self.resource) {
            queue.length -= 1;
            if queue.length == 0 {
                queues.remove(&self.resource);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use super::*;

    #[tokio::test]
    async fn two_have_a_turn_others_wait_and_other_resources_are_free() {
        let queues = Queues::default();
        let first = queues.enter("a".to_owned()).await.unwrap();
        let _second = queues.enter("a".to_owned()).await.unwrap();
        let mut third = Box::pin(queues.enter("a".to_owned()));
        assert!(poll_fn(|context| Poll::Ready(third.as_mut().poll(context).is_pending())).await);
        queues.enter("b".to_owned()).await.unwrap();
        drop(first);
        third.await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_queue_that_is_empty() {
        let queues = Queues::default();
        drop(queues.enter("a".to_owned()).await.unwrap());
        assert!(queues.lock().is_empty());
    }
}
