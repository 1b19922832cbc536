// SPDX-License-Identifier: GPL-2.0

//! An exchange of drivers that a worker does, because its caller must not wait for RTNL.
//!
//! The caller may hold `klp_mutex`, for which a holder of RTNL may wait. A worker of `system_long_wq` holds nothing, so
//! it can wait for RTNL in the queue with all others, and the caller waits for the worker for a limited time. The worker
//! goes on without the caller until all devices have the wanted driver.

use core::marker::PhantomData;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc, //
    },
    time::{delay::fsleep, Delta, Instant, Monotonic},
    workqueue, //
};

/// How often a caller looks whether its job is over.
const LOOK: Delta = Delta::from_micros(100);

/// The longest pause before a device is tried again whose instance lock was busy.
const LONG_PAUSE: Delta = Delta::from_millis(200);

/// The pause before a lock is tried again, and between two batches. Others can take RTNL in the pause, and a task that
/// has slept is less likely to be preempted while it holds RTNL.
pub(super) const PAUSE: Delta = Delta::from_millis(1);

/// A flag that several contexts set.
pub(super) struct Flag(Atomic<u32>);

impl Flag {
    pub(super) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Sets the flag, and returns whether its value has changed. Fully ordered: a later holder of RTNL sees the new
    /// value.
    pub(super) fn set(&self, value: bool) -> bool {
        self.0.xchg(value.into(), Full) != u32::from(value)
    }
}

/// The result of a walk.
pub(super) struct Walk {
    /// How many devices have changed their driver.
    pub(super) exchanged: Atomic<u32>,
    /// The longest time for which RTNL was held for a batch, in microseconds.
    pub(super) held: Atomic<i64>,
}

impl Walk {
    pub(super) const fn new() -> Self {
        Self {
            exchanged: Atomic::new(0),
            held: Atomic::new(0),
        }
    }
}

/// How a walk ended.
pub(super) enum Outcome {
    /// All devices have the wanted driver.
    Complete,
    /// The instance lock of a device was busy.
    Busy,
    /// Another driver is wanted now.
    Superseded,
}

/// How a job ended.
#[derive(PartialEq, Eq)]
pub(super) enum End {
    /// All devices have the wanted driver.
    Complete,
    /// Another driver is wanted now.
    Superseded,
}

/// What a job does.
pub(super) trait Task: Sized + 'static {
    /// The jobs that do it.
    fn jobs() -> &'static Jobs;

    /// Gives all devices to the wanted driver.
    fn walk(total: &Walk) -> Outcome;

    /// A job that nobody waits for any more has given all devices to the wanted driver.
    fn complete(total: &Walk);
}

/// The jobs of a driver, which are numbered.
///
/// # Invariants
///
/// `running` is at least the number of jobs whose worker is not past its last access to the module's data.
pub(super) struct Jobs {
    running: Atomic<u32>,
    closed: Flag,
    /// The newest job.
    newest: Atomic<u32>,
    /// The newest job that nobody waits for any more, or that could not begin.
    left: Atomic<u32>,
    /// The newest job that has given all devices to the wanted driver.
    complete: Atomic<u32>,
}

impl Jobs {
    pub(super) const fn new() -> Self {
        Self {
            running: Atomic::new(0),
            closed: Flag::new(),
            newest: Atomic::new(0),
            left: Atomic::new(0),
            complete: Atomic::new(0),
        }
    }

    /// Counts a job that is to begin. Returns false after [`Self::close`]: then it must not begin.
    pub(super) fn begin(&self) -> bool {
        self.running.fetch_add(1, Full);
        let open = !self.closed.is_set();
        if !open {
            self.end();
        }
        open
    }

    fn end(&self) {
        self.running.fetch_sub(1, Full);
    }

    /// Whether there is a job that nobody waits for, or that could not begin, and neither it nor a later one is complete.
    /// (A job that was superseded is followed by a later one.)
    pub(super) fn is_incomplete(&self) -> bool {
        self.left.load(Relaxed) > self.complete.load(Relaxed)
    }

    /// From now on no job begins. Waits for those that have begun.
    pub(super) fn close(&self) {
        // Who counts a job from now on sees the flag, and takes it away again.
        self.closed.set(true);
        while self.running.load(Relaxed) != 0 {
            fsleep(PAUSE);
        }
    }
}

fn raise(number: &Atomic<u32>, to: u32) {
    let mut old = number.load(Relaxed);
    while old < to {
        match number.cmpxchg(old, to, Full) {
            Ok(_) => return,
            Err(now) => old = now,
        }
    }
}

/// One exchange.
#[pin_data]
pub(super) struct Job<T: Task> {
    #[pin]
    work: workqueue::Work<Self>,
    number: u32,
    state: Atomic<u32>,
    pub(super) total: Walk,
    _driver: PhantomData<fn() -> T>,
}

impl<T: Task> Job<T> {
    const RUNNING: u32 = 0;
    /// Nobody waits any more.
    const UNATTENDED: u32 = 1;
    const COMPLETE: u32 = 2;
    const SUPERSEDED: u32 = 3;

    /// Gives a job to a worker. [`Jobs::begin`] has counted it, and it is counted no more when it is over. `ENOMEM`.
    pub(super) fn start() -> Result<Arc<Self>> {
        let jobs = T::jobs();
        let number = jobs.newest.fetch_add(1, Full).wrapping_add(1);
        let init = pin_init!(Self {
            work <- kernel::new_work!("netkit_rs::Job::work"),
            number,
            state: Atomic::new(Self::RUNNING),
            total: Walk::new(),
            _driver: PhantomData,
        });
        let job = Arc::pin_init(init, GFP_KERNEL).inspect_err(|_| {
            raise(&jobs.left, number);
            jobs.end();
        })?;
        if workqueue::system_long().enqueue(job.clone()).is_err() {
            // Cannot happen: the work is new.
            jobs.end();
        }
        Ok(job)
    }

    /// Waits until the job is over, for `patience` at most. Without a result, the job goes on by itself.
    pub(super) fn wait(&self, patience: Delta) -> Option<End> {
        let begun = Instant::<Monotonic>::now();
        while self.is_attended() && begun.elapsed() < patience {
            fsleep(LOOK);
        }
        match self.state.cmpxchg(Self::RUNNING, Self::UNATTENDED, Full) {
            Ok(_) => {
                raise(&T::jobs().left, self.number);
                None
            }
            Err(Self::COMPLETE) => Some(End::Complete),
            Err(_) => Some(End::Superseded),
        }
    }

    /// Whether the job is running, and somebody waits for it.
    fn is_attended(&self) -> bool {
        self.state.load(Relaxed) == Self::RUNNING
    }

    fn end(&self, state: u32) {
        if state == Self::COMPLETE {
            raise(&T::jobs().complete, self.number);
        }
        let attended = self.state.xchg(state, Full) == Self::RUNNING;
        if state == Self::COMPLETE && !attended {
            T::complete(&self.total);
        }
    }
}

kernel::impl_has_work! {
    impl{T: Task} HasWork<Self> for Job<T> { self.work }
}

impl<T: Task> workqueue::WorkItem for Job<T> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let mut pause = PAUSE;
        let state = loop {
            match T::walk(&this.total) {
                Outcome::Complete => break Self::COMPLETE,
                Outcome::Superseded if this.is_attended() => break Self::SUPERSEDED,
                // There may be no other job: then this one gives the devices to the driver that is wanted now.
                Outcome::Superseded => {}
                Outcome::Busy => fsleep(pause),
            }
            if pause < LONG_PAUSE {
                pause += PAUSE;
            }
        };
        this.end(state);
        drop(this);
        // The last step: `Takeover::finish()` may go on.
        T::jobs().end();
    }
}
