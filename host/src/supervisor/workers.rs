//! The threads on which guests run. They belong to guests alone, so that no guest can starve the
//! API; accounts whose turns cost much run in a lane of their own, so that they do not starve
//! the others.

use super::actor::Actor;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Fast,
    Slow,
}

pub struct Workers {
    lanes: [Arc<Queue>; 2],
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<(VecDeque<Arc<Actor>>, bool)>,
    changed: Condvar,
}

impl Workers {
    /// `fast` threads for the fast lane and one for the slow one.
    pub fn start(fast: usize) -> std::io::Result<Arc<Self>> {
        let workers = Arc::new(Self {
            lanes: [Arc::default(), Arc::default()],
        });
        for thread in 0..fast.max(1) {
            workers.spawn(Lane::Fast, format!("guest-{thread}"))?;
        }
        workers.spawn(Lane::Slow, "guest-slow".into())?;
        Ok(workers)
    }

    fn spawn(&self, lane: Lane, name: String) -> std::io::Result<()> {
        let queue = self.queue(lane).clone();
        std::thread::Builder::new().name(name).spawn(move || {
            while let Some(actor) = queue.next() {
                let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| actor.run()));
                if ran.is_err() {
                    actor.crashed();
                }
            }
        })?;
        Ok(())
    }

    fn queue(&self, lane: Lane) -> &Arc<Queue> {
        &self.lanes[lane as usize]
    }

    pub fn push(&self, lane: Lane, actor: Arc<Actor>) {
        let queue = self.queue(lane);
        if let Ok(mut waiting) = queue.waiting.lock() {
            if waiting.1 {
                // Nobody would take it, and it would keep itself by this queue.
                return;
            }
            waiting.0.push_back(actor);
            queue.changed.notify_one();
        }
    }
}

impl Workers {
    /// The threads end with what they are at.
    pub fn stop(&self) {
        for queue in &self.lanes {
            if let Ok(mut waiting) = queue.waiting.lock() {
                waiting.1 = true;
                waiting.0.clear();
            }
            queue.changed.notify_all();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Queue {
    /// None when the host goes down.
    fn next(&self) -> Option<Arc<Actor>> {
        let mut waiting = self.waiting.lock().ok()?;
        loop {
            if waiting.1 {
                return None;
            }
            if let Some(actor) = waiting.0.pop_front() {
                return Some(actor);
            }
            waiting = self.changed.wait(waiting).ok()?;
        }
    }
}
