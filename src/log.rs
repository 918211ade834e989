//! The log of the process: lines go to stderr through a thread and a bounded queue.
//!
//! A log that cannot be written stops nothing. A full disk, a closed pipe and a pipe that nobody reads lose lines, which are counted.

use std::{
    io::{self, IsTerminal as _, Write},
    panic,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::config::LogFormat;

/// Lines that wait for the thread at most.
const QUEUE: usize = 4096;
/// How long the end of the process waits for lines in the queue.
const FLUSH_TIME: Duration = Duration::from_secs(1);

static LOST: AtomicU64 = AtomicU64::new(0);
static REPORTED: AtomicU64 = AtomicU64::new(0);
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Log lines that could not be written since the process started.
#[must_use]
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Panics since the process started.
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Logs how many lines were lost since the last call, if any were.
pub fn report_lost_lines() {
    let all = lost_lines();
    let lines = all.saturating_sub(REPORTED.swap(all, Ordering::Relaxed));
    if lines > 0 {
        tracing::warn!(lines, "log lines were lost because the log could not be written: check the disk or the reader of stderr");
    }
}

/// Writes the lines in the queue when it is dropped.
#[derive(Debug)]
pub struct LogGuard(Option<LogQueue>);

impl Drop for LogGuard {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.flush(FLUSH_TIME);
        }
    }
}

/// Starts the log of the process, and logs and counts panics from now on.
#[must_use]
pub fn start(level: &str, format: LogFormat) -> LogGuard {
    let Ok(queue) = LogQueue::start(io::stderr(), &LOST) else { return LogGuard(None) };
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    // Without `log_internal_errors` nothing else prints to stderr: printing panics when stderr is closed.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .with_writer(queue.clone());
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        tracing::warn!("the log was started before: {error}");
    }
    watch_panics();
    LogGuard(Some(queue))
}

/// Counts and logs each panic from now on, in place of the message that Rust prints.
fn watch_panics() {
    panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        // The message of a panic may hold values of persons: only the place is logged.
        let place = panic.location().map(ToString::to_string);
        let thread = thread::current();
        tracing::error!(panic.place = place, thread.name = thread.name(), "a panic: this is a fault of the program, please report it");
    }));
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Hands lines to the thread that writes them. It never waits and never fails.
#[derive(Debug, Clone)]
struct LogQueue {
    messages: SyncSender<Message>,
    lost: &'static AtomicU64,
}

impl LogQueue {
    fn start(to: impl Write + Send + 'static, lost: &'static AtomicU64) -> io::Result<Self> {
        let (messages, received) = sync_channel(QUEUE);
        thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&received, to, lost))?;
        Ok(Self { messages, lost })
    }

    fn push(&self, line: &[u8]) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.messages.try_send(Message::Line(line.to_vec())) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until the lines in the queue are written, no longer than `within`.
    fn flush(&self, within: Duration) {
        let (done, written) = sync_channel(1);
        if self.messages.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(within);
        }
    }
}

fn write_lines(received: &Receiver<Message>, mut to: impl Write, lost: &AtomicU64) {
    for message in received {
        match message {
            Message::Line(line) => {
                if to.write_all(&line).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flush(done) => {
                let _ = to.flush();
                let _ = done.try_send(());
            }
        }
    }
}

/// The subscriber writes one line at a time.
impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogQueue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn counter() -> &'static AtomicU64 {
        Box::leak(Box::default())
    }

    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order_and_a_flush_waits_for_them() {
        let (kept, lost) = (Kept::default(), counter());
        let mut queue = LogQueue::start(kept.clone(), lost).unwrap();
        queue.write_all(b"one\n").unwrap();
        queue.make_writer().write_all(b"two\n").unwrap();
        LogQueue::flush(&queue, Duration::from_secs(20));
        assert_eq!(*kept.0.lock().unwrap(), b"one\ntwo\n");
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn a_panic_is_counted() {
        let before = panics();
        let hook = panic::take_hook();
        watch_panics();
        let ended = thread::spawn(|| panic!("a fault of the test")).join();
        panic::set_hook(hook);
        assert!(ended.is_err() && panics() > before);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_whoever_logs_does_not_fail() {
        let lost = counter();
        let mut queue = LogQueue::start(Full, lost).unwrap();
        for _ in 0..3 {
            queue.write_all(b"line\n").unwrap();
        }
        LogQueue::flush(&queue, Duration::from_secs(20));
        assert_eq!(lost.load(Ordering::Relaxed), 3);
    }

    /// Blocks until the test lets go.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whoever_logs_does_not_wait_for_a_reader_that_does_not_read() {
        let (let_go, held) = sync_channel(1);
        let lost = counter();
        let mut queue = LogQueue::start(Stuck(held), lost).unwrap();
        for _ in 0..QUEUE + 100 {
            queue.write_all(b"line\n").unwrap();
        }
        // The thread holds one line at most; the others wait or are lost.
        assert!((99..=100).contains(&lost.load(Ordering::Relaxed)));
        drop(let_go);
    }
}
