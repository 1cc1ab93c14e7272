//! Takes spans that have ended and posts them in batches. A receiver that is away costs spans,
//! never anything else: nobody waits for it, and what waits for it is bounded.

use super::metrics::Traces;
use super::otlp;
use super::trace::{Span, Tracer};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

const WAITING: usize = 8_192;
const BATCH: usize = 512;
const INTERVAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// After the receiver did not take a batch, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const TRIES: u32 = 3;

/// Posts a body to the receiver. The error is for people.
#[async_trait]
pub trait Post: Send + Sync + 'static {
    async fn post(&self, body: Vec<u8>) -> Result<(), Refused>;
}

/// Why a batch was not taken.
#[derive(Debug)]
pub struct Refused {
    pub reason: String,
    /// May it be taken another time?
    pub again: bool,
}

#[derive(Clone, Debug)]
pub struct ExporterSettings {
    pub service: String,
    pub sample_ratio: f64,
}

/// Where spans that have ended go.
#[derive(Clone)]
pub struct Queue {
    sender: mpsc::Sender<Span>,
    metrics: Traces,
}

impl Queue {
    pub fn put(&self, span: Span) {
        if self.sender.try_send(span).is_err() {
            self.metrics.dropped.inc();
        }
    }
}

/// The task that posts. It ends with [`Exporter::shutdown`].
pub struct Exporter {
    stop: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// To be called on a tokio runtime.
    pub fn start(
        settings: ExporterSettings,
        post: Arc<dyn Post>,
        metrics: Traces,
    ) -> (Tracer, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let (stop, stopped) = mpsc::channel(1);
        let queue = Queue {
            sender,
            metrics: metrics.clone(),
        };
        let work = Work {
            service: settings.service,
            post,
            metrics,
            receiver,
            stopped,
            warned: false,
        };
        let tracer = Tracer::on(queue, settings.sample_ratio);
        let task = tokio::spawn(work.run());
        (tracer, Self { stop, task })
    }

    /// Posts what waits, within a short time.
    pub async fn shutdown(mut self, within: Duration) {
        let _ = self.stop.send(()).await;
        if timeout(within, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

struct Work {
    service: String,
    post: Arc<dyn Post>,
    metrics: Traces,
    receiver: mpsc::Receiver<Span>,
    stopped: mpsc::Receiver<()>,
    /// The receiver is known to be away.
    warned: bool,
}

impl Work {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let end = Instant::now() + INTERVAL;
            let stopping = loop {
                tokio::select! {
                    taken = self.receiver.recv_many(&mut batch, BATCH) => {
                        if taken == 0 || batch.len() >= BATCH {
                            break taken == 0;
                        }
                    }
                    () = sleep_until(end) => break false,
                    _ = self.stopped.recv() => break true,
                }
            };
            if stopping {
                self.receiver.close();
                while let Some(span) = self.receiver.recv().await {
                    batch.push(span);
                }
                for batch in batch.chunks(BATCH) {
                    self.once(batch).await;
                }
                return;
            }
            if !batch.is_empty() {
                self.deliver(&batch).await;
                batch.clear();
            }
        }
    }

    /// Tries a few times; meanwhile spans wait, and above the bound they are dropped.
    async fn deliver(&mut self, batch: &[Span]) {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            match self.try_once(batch).await {
                Ok(()) => return,
                Err(refused) if attempt < TRIES && refused.again => {
                    self.warn(&refused);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        // The end comes soon; these get their last try then.
                        () = self.stop_asked() => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(refused) => {
                    self.warn(&refused);
                    self.metrics.dropped.inc_by(batch.len() as u64);
                    return;
                }
            }
        }
    }

    async fn stop_asked(&self) {
        while self.stopped.is_empty() && !self.stopped.is_closed() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn once(&mut self, batch: &[Span]) {
        if let Err(refused) = self.try_once(batch).await {
            self.warn(&refused);
            self.metrics.dropped.inc_by(batch.len() as u64);
        }
    }

    async fn try_once(&mut self, batch: &[Span]) -> Result<(), Refused> {
        let body = otlp::request(&self.service, batch);
        let posted = timeout(PATIENCE, self.post.post(body)).await;
        posted.unwrap_or_else(|_| {
            Err(Refused {
                reason: format!("no answer within {} s", PATIENCE.as_secs()),
                again: true,
            })
        })?;
        self.metrics.exported.inc_by(batch.len() as u64);
        if std::mem::take(&mut self.warned) {
            tracing::info!("the receiver of traces takes them again");
        }
        Ok(())
    }

    fn warn(&mut self, refused: &Refused) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                reason = refused.reason,
                "the receiver of traces does not take them"
            );
        }
    }
}
